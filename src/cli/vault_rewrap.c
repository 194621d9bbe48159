/* `encroot vault rewrap`: every secret under the newest key-encryption key. */
#include "cli/admin_options.h"
#include "cli/command.h"

#define REWRAP_SECONDS 3600 /* each volume is a transaction */

int cmd_vault_rewrap(int argc, char **argv)
{
    struct admin_options o = {.seconds = REWRAP_SECONDS};
    const struct option_spec options[] = {ADMIN_OPTION_SPECS(o), {0}};
    const struct usage u = {
        .synopsis = "encroot vault rewrap [--broker ADDRESS] [--json]",
        .about = "Wrap the secrets of all volumes anew under the first key-encryption key of the\n"
                 "broker's configuration (kek), whichever of its older ones (kek-old) they are\n"
                 "under now. The broker keeps answering guests. Once none is left under an old\n"
                 "key, its line can go. Where several brokers share a database, each must have\n"
                 "the new key first.\n\n"
                 "Exit status: 1 if some could not be wrapped; see the broker's log.",
        .options = options,
        .example = "  (add the new kek, make the old one kek-old) && systemctl reload encrootd\n"
                   "  encroot vault rewrap",
    };
    struct admin_client c;
    struct error err = {0};
    int code = admin_parse(&u, argc, argv, &o, 0, NULL, NULL, &c);
    if (code != OPTIONS_DONE)
        return code;
    static const char where[] = "the broker's answer";
    _json_ json_t *body = json_object(), *answer = NULL;
    uint64_t done, already, failed = 0;
    int r = admin_call(&c, "POST", "/v1/vault/rewrap", body, &answer, &err);
    if (r == 0 && (json_get_uint(answer, "done", UINT32_MAX, &done, where, &err) < 0 ||
                   json_get_uint(answer, "already", UINT32_MAX, &already, where, &err) < 0 ||
                   json_get_uint(answer, "failed", UINT32_MAX, &failed, where, &err) < 0))
        r = -EPROTO;
    if (r < 0)
        return admin_report(&err, r, o.json);
    if (o.json)
        admin_print_json(answer);
    else
        printf("rewrapped %llu, under the newest key already %llu, failed %llu\n",
               (unsigned long long)done, (unsigned long long)already, (unsigned long long)failed);
    if (failed && !o.json)
        fputs("encroot: keep the old keys: some secrets are still under them; the broker's log "
              "names the volumes\n",
              stderr);
    return failed ? EXIT_FAILED : EXIT_OK;
}

/* `encroot request list`: guests that wait for an operator. */
#include "cli/admin_options.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/when.h"

static int print(const json_t *list, struct error *err)
{
    static const char *const heads[] = {"ID",      "VOLUME", "STATE", "PEER",     "FIRST",
                                        "EXPIRES", "ASKED",  "BY",    "ATTESTER", NULL};
    _table_ struct table t = table_of(heads);
    size_t i;
    const json_t *q;
    json_array_foreach(list, i, q)
    {
        char when[WHEN_TEXT_SIZE];
        const char *name = admin_text(q, "name");
        table_add(&t, admin_text(q, "id"));
        table_add(&t, *name ? name : admin_text(q, "volume"));
        table_add(&t, admin_text(q, "state"));
        table_add(&t, admin_text(q, "peer"));
        table_add(&t, when_local(admin_text(q, "created"), when));
        table_add(&t, when_local(admin_text(q, "expires"), when));
        table_addf(&t, "%lld", (long long)admin_number(q, "count"));
        table_add(&t, admin_text(q, "decided_by"));
        table_add(&t, admin_text(q, "attester"));
    }
    return table_print(stdout, &t, "nobody waits", err);
}

int cmd_request_list(int argc, char **argv)
{
    struct admin_options o = ADMIN_OPTIONS_DEFAULT;
    bool all = false;
    const struct option_spec options[] = {
        {0, "all", OPTION_FLAG, NULL, "those too that have expired or were used", &all, 0, 0},
        ADMIN_OPTION_SPECS(o),
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot request list [--all] [--broker ADDRESS] [--json]",
        .about =
            "List guests whose evidence passes, and which wait for an operator because their\n"
            "volume is set to --approval manual: the request's id, which the guest shows on\n"
            "its console, the volume, who asked and how often. The attester is the SHA-256 of\n"
            "the certificate that vouches for the guest's hardware: an approval is for that\n"
            "machine alone.",
        .options = options,
        .example = "  encroot request list\n"
                   "  encroot request approve 0f5c6a7e8b9d4c3f2a1b0c9d8e7f6a5b",
    };
    struct admin_client c;
    struct error err = {0};
    int code = admin_parse(&u, argc, argv, &o, 0, NULL, NULL, &c);
    if (code != OPTIONS_DONE)
        return code;
    _json_ json_t *answer = NULL;
    int r = admin_call(&c, "GET", all ? "/v1/requests?all=1" : "/v1/requests", NULL, &answer, &err);
    const json_t *list = r == 0 ? admin_list(answer, "requests", &err) : NULL;
    if (r == 0 && !list)
        r = -EPROTO;
    if (r == 0 && o.json)
        admin_print_json(answer);
    else if (r == 0)
        r = print(list, &err);
    if (r == 0 && !o.json && json_is_true(json_object_get(answer, "more")))
        fprintf(stderr, "encroot: only the newest %zu are shown; there are more\n",
                json_array_size(list));
    return r < 0 ? admin_report(&err, r, o.json) : EXIT_OK;
}

/* `encroot vault rewrap`: every secret under the newest key-encryption key. The broker does it;
 * this has it begun, and watches. */
#include "cli/admin_options.h"
#include "cli/command.h"
#include "cli/plain_text.h"
#include "cli/progress.h"
#include "cli/when.h"

#include <string.h>
#include <time.h>

#define TASK "/v1/vault/rewrap"
#define LOOK_FIRST 20 /* milliseconds to the next look, twice as long each time */
#define LOOK_LATEST 1000

static const char where[] = "the broker's answer";

struct counts {
    uint64_t total, done, already, failed;
};

static int read_counts(const json_t *task, struct counts *ret, struct error *err)
{
    return json_get_uint(task, "total", UINT32_MAX, &ret->total, where, err) < 0 ||
                   json_get_uint(task, "done", UINT32_MAX, &ret->done, where, err) < 0 ||
                   json_get_uint(task, "already", UINT32_MAX, &ret->already, where, err) < 0 ||
                   json_get_uint(task, "failed", UINT32_MAX, &ret->failed, where, err) < 0
               ? -EPROTO
               : 0;
}

/* If one runs already, under the same keys, it is that one. */
static int begin(const struct admin_client *c, bool quiet, json_t **ret, struct error *err)
{
    char when[WHEN_TEXT_SIZE];
    _json_ json_t *body = json_object();
    int r = admin_call(c, "POST", TASK, body, ret, err);
    if (r != -EBUSY)
        return r;
    r = admin_call(c, "GET", TASK, NULL, ret, err);
    if (r == 0 && !quiet)
        plain_line(stderr, "encroot: %s began this at %s; watching", admin_text(*ret, "user"),
                   when_local(admin_text(*ret, "begun"), when));
    return r;
}

static int not_known(struct error *err, int r)
{
    return error_hint(err, r,
                      "`encroot vault rewrap` watches it if it goes on, and begins again if not: "
                      "what is done is passed over");
}

/* Until it does not run any more. */
static int watch(const struct admin_client *c, const struct progress *p, json_t **task,
                 struct error *err)
{
    _free_ char *id = strdup(admin_text(*task, "id"));
    struct counts n;
    for (unsigned wait = LOOK_FIRST;; wait = wait < LOOK_LATEST / 2 ? 2 * wait : LOOK_LATEST) {
        int r = id ? read_counts(*task, &n, err) : error_set(err, ENOMEM, "out of memory");
        if (r < 0 || strcmp(admin_text(*task, "state"), "running") != 0)
            return r;
        uint64_t seen = n.done + n.already + n.failed; /* among them some that are newer */
        if (p->report(p->arg, "rewrapping", seen < n.total ? seen : n.total, n.total) < 0)
            return not_known(err, error_set(err, ECANCELED, "interrupted: the broker goes on"));
        nanosleep(&(struct timespec){wait / 1000, (long)(wait % 1000) * 1000000}, NULL);
        json_decref(*task);
        *task = NULL;
        r = admin_call(c, "GET", TASK, NULL, task, err);
        if (r < 0)
            return not_known(err, r);
        if (strcmp(admin_text(*task, "id"), id) != 0)
            return not_known(err, error_set(err, EIO,
                                            "not finished, as far as is known: the broker was "
                                            "reloaded or restarted meanwhile"));
    }
}

/* Of one that has ended. */
static int conclude(const json_t *task, const struct counts *n, struct error *err)
{
    const char *hint = admin_text(task, "hint");
    if (strcmp(admin_text(task, "state"), "finished") == 0)
        return 0;
    return error_hint(err,
                      error_set(err, EIO, "not finished (done %llu, already %llu, failed %llu): %s",
                                (unsigned long long)n->done, (unsigned long long)n->already,
                                (unsigned long long)n->failed, admin_text(task, "error")),
                      "%s%sbegin again with `encroot vault rewrap`: what is done is passed over",
                      hint, *hint ? "; then " : "");
}

static void print(const struct counts *n, bool json)
{
    if (json) {
        _json_ json_t *j = json_pack("{s:I, s:I, s:I}", "done", (json_int_t)n->done, "already",
                                     (json_int_t)n->already, "failed", (json_int_t)n->failed);
        admin_print_json(j);
        return;
    }
    printf("rewrapped %llu, under the newest key already %llu, failed %llu\n",
           (unsigned long long)n->done, (unsigned long long)n->already,
           (unsigned long long)n->failed);
    if (n->failed)
        fputs("encroot: keep the old keys: some secrets are still under them; the broker's log "
              "names the volumes\n",
              stderr);
}

int cmd_vault_rewrap(int argc, char **argv)
{
    struct admin_options o = ADMIN_OPTIONS_DEFAULT;
    const struct option_spec options[] = {ADMIN_OPTION_SPECS(o), {0}};
    const struct usage u = {
        .synopsis = "encroot vault rewrap [--broker ADDRESS] [--json]",
        .about = "Wrap the secrets of all volumes anew under the first key-encryption key of the\n"
                 "broker's configuration (kek), whichever of its older ones (kek-old) they are\n"
                 "under now. The broker keeps answering guests. Once none is left under an old\n"
                 "key, its line can go. Where several brokers share a database, each must have\n"
                 "the new key first.\n\n"
                 "The broker does it, and this command watches: interrupting it stops nothing,\n"
                 "and where one is running already it watches that. A broker that is reloaded or\n"
                 "stopped meanwhile does not finish; begin again: what is done is passed over.\n\n"
                 "Exit status: 1 if it did not finish, or some could not be wrapped; see the\n"
                 "broker's log.",
        .options = options,
        .example = "  (add the new kek, make the old one kek-old) && systemctl reload encrootd\n"
                   "  encroot vault rewrap",
    };
    struct admin_client c;
    struct error err = {0};
    struct counts n;
    _json_ json_t *task = NULL;
    int code = admin_parse(&u, argc, argv, &o, 0, NULL, NULL, &c);
    if (code != OPTIONS_DONE)
        return code;
    int r = begin(&c, o.json, &task, &err);
    struct progress progress = terminal_progress(o.json, "volumes");
    cancel_on_signals();
    if (r == 0)
        r = watch(&c, &progress, &task, &err);
    terminal_progress_end();
    if (r == 0)
        r = read_counts(task, &n, &err);
    if (r == 0)
        r = conclude(task, &n, &err);
    if (r < 0)
        return admin_report(&err, r, o.json);
    print(&n, o.json);
    return n.failed ? EXIT_FAILED : EXIT_OK;
}

/* `encroot volume list`: the volumes whose keys a broker keeps. */
#include "cli/command.h"
#include "cli/volume_view.h"

#include <string.h>

#define PAGE_VOLUMES "500"

/* One page behind *after, appended to `all`; *after is then the last name. */
static int add_page(const struct admin_client *c, json_t *all, char **after, bool *more,
                    struct error *err)
{
    _json_ json_t *page = NULL;
    _free_ char *path = *after ? admin_path("/v1/volumes?limit=" PAGE_VOLUMES "&after=", *after, "")
                               : strdup("/v1/volumes?limit=" PAGE_VOLUMES);
    if (!path)
        return error_set(err, ENOMEM, "out of memory");
    int r = admin_call(c, "GET", path, NULL, &page, err);
    const json_t *list = r == 0 ? admin_list(page, "volumes", err) : NULL;
    if (r == 0 && !list)
        r = -EPROTO;
    for (size_t i = 0; r == 0 && i < json_array_size(list); i++)
        r = volume_check(json_array_get(list, i), err);
    if (r < 0)
        return r;
    const char *last = admin_text(json_array_get(list, json_array_size(list) - 1), "name");
    *more = json_is_true(json_object_get(page, "more"));
    if (*more && (json_array_size(list) == 0 || (*after && strcmp(last, *after) <= 0)))
        return error_set(err, EPROTO, "the broker's answer repeats a page of its volumes");
    free(*after);
    *after = strdup(last);
    if (!*after || json_array_extend(all, (json_t *)list) < 0)
        return error_set(err, ENOMEM, "out of memory");
    return 0;
}

static int print(const json_t *all, struct error *err)
{
    _table_ struct table t = table_of(volume_heads);
    size_t i;
    const json_t *volume;
    json_array_foreach(all, i, volume) volume_line(&t, volume);
    return table_print(stdout, &t, "no volumes; `encroot image encrypt --vault` registers one",
                       err);
}

int cmd_volume_list(int argc, char **argv)
{
    struct admin_options o = ADMIN_OPTIONS_DEFAULT;
    const struct option_spec options[] = {ADMIN_OPTION_SPECS(o), {0}};
    const struct usage u = {
        .synopsis = "encroot volume list [--broker ADDRESS] [--json]",
        .about =
            "List the volumes whose keys a broker keeps: name, UUID, whether they are enabled,\n"
            "whether an operator must approve each release, how many of the versions of their\n"
            "reference values are valid, how many releases are allowed in what time.",
        .options = options,
        .example = "  encroot volume list\n"
                   "  encroot volume list --json | jq -r '.volumes[] | select(.enabled|not).name'",
    };
    struct admin_client c;
    int code = admin_parse(&u, argc, argv, &o, 0, NULL, NULL, &c);
    if (code != OPTIONS_DONE)
        return code;
    struct error err = {0};
    _json_ json_t *all = json_array();
    _free_ char *after = NULL;
    bool more = true;
    int r = all ? 0 : error_set(&err, ENOMEM, "out of memory");
    while (r == 0 && more)
        r = add_page(&c, all, &after, &more, &err);
    if (r == 0 && o.json) {
        _json_ json_t *j = json_pack("{s:O}", "volumes", all);
        admin_print_json(j);
    } else if (r == 0) {
        r = print(all, &err);
    }
    return r < 0 ? admin_report(&err, r, o.json) : EXIT_OK;
}

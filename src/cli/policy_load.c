#include "cli/policy_load.h"
#include "base/io.h"
#include "cli/paths.h"

#include <time.h>

#define HASH_JSON_MAX ((size_t)4 << 20)

const char *policy_options_problem(const struct policy_options *o)
{
    if (o->file && (o->rims.count > 0 || o->hash_json))
        return "--policy takes the place of -m and -f: the policy says both";
    if (!o->file && (o->rims.count == 0 || !o->hash_json))
        return "either --policy FILE, or -m RIM and -f hash.json are needed: without them nothing "
               "passes";
    return NULL;
}

static int parse_rims(struct digest *ret, const struct option_list *rims, struct error *err)
{
    for (size_t i = 0; i < rims->count; i++)
        if (policy_digest(&ret[i], rims->items[i]) < 0)
            return error_set(err, EINVAL,
                             "RIM: expected 64, 96 or 128 hexadecimal digits, found \"%.140s\"",
                             rims->items[i]);
    return 0;
}

static int load_reference(struct reference_values *ret, const char *path, struct error *err)
{
    _buffer_ struct buffer text = {0};
    int r = read_file(path, HASH_JSON_MAX, &text, err);
    return r < 0 ? r : reference_values_parse(ret, buffer_bytes(&text), path, err);
}

int policy_load_anchors(struct trust_anchors **ret, const char *folder, struct error *err)
{
    _cleanup_(paths_free) struct paths p = {0};
    int r = paths_of(&p, folder, err);
    if (r == 0)
        r = trust_anchors_load(ret, p.trust_folder, p.trust_pins, err);
    if (r < 0 && err && !err->hint[0])
        error_hint(err, r, "encroot init %s --trust FILE adds trust anchors", folder);
    return r;
}

static int from_values(struct policy **ret, const struct policy_options *o, struct error *err)
{
    struct digest rims[OPTION_LIST_MAX];
    _reference_values_ struct reference_values boot = {0};
    _trust_anchors_ struct trust_anchors *anchors = NULL;
    int r = parse_rims(rims, &o->rims, err);
    if (r == 0)
        r = load_reference(&boot, o->hash_json, err);
    if (r == 0)
        r = policy_load_anchors(&anchors, o->folder, err);
    return r < 0 ? r : policy_of_values(ret, rims, o->rims.count, &boot, TAKE_PTR(anchors), err);
}

int policy_refuse_plain(const struct policy *p, const char *name, struct error *err)
{
    const char *line = policy_plain_boot(&p->appraisal);
    if (!line)
        return 0;
    int r = error_set(err, EINVAL,
                      "%s: reference values of an image that is not encrypted: a kernel command "
                      "line without root=/dev/mapper/encroot: \"%.200s\"",
                      name, line);
    return error_hint(err, r, "`encroot image encrypt` writes those of the encrypted image");
}

int policy_load(struct policy **ret, const struct policy_options *o, struct error *err)
{
    _policy_ struct policy *p = NULL;
    int r = o->file ? policy_load_file(&p, o->file, err) : from_values(&p, o, err);
    if (r == 0)
        r = policy_refuse_plain(p, o->file ? o->file : o->hash_json, err);
    if (r < 0)
        return r;
    p->appraisal.platform.chain.now = time(NULL);
    *ret = TAKE_PTR(p);
    return 0;
}

int policy_operand(const struct usage *u, int argc, char **argv, const bool *json,
                   struct policy **ret)
{
    int first;
    int code = options_parse(u, argc, argv, &first);
    if (code != OPTIONS_DONE)
        return code;
    if (argc - first != 1)
        return usage_error(u, "expected one policy file, found %d", argc - first);
    struct error err = {0};
    int r = policy_load_file(ret, argv[first], &err);
    return r < 0 ? report_error(&err, exit_code_for(r), *json) : OPTIONS_DONE;
}

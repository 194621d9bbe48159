#include "daemon/effective_policy.h"
#include "appraise/policy_problems.h"
#include "base/hex.h"

#include <string.h>

#define NAME "policy"

int effective_policy_check_values(struct bytes text, const char *name, struct error *err)
{
    _reference_values_ struct reference_values v = {0};
    return reference_values_parse(&v, text, name, err);
}

/* A policy for this volume alone, whatever the owner left open. */
static int name_volume(json_t *policy, const uint8_t uuid[16], struct error *err)
{
    char own[UUID_TEXT_SIZE];
    uint8_t named[16];
    const char *text = json_string_value(json_object_get(policy, "volume"));
    uuid_format(uuid, own);
    if (text && uuid_parse(text, named) == 0 && memcmp(named, uuid, 16) != 0)
        return error_hint(err,
                          error_set(err, EINVAL,
                                    NAME ": \"volume\": expected %s, found %.40s: this is the "
                                         "policy of another volume",
                                    own, text),
                          "give the policy of volume %s, or leave out \"volume\"", own);
    if (json_object_get(policy, "volume"))
        return 0; /* of another type: policy_parse says so */
    if (json_object_set_new(policy, "volume", json_string(own)) < 0)
        return error_set(err, ENOMEM, "out of memory");
    return 0;
}

static int add_version(json_t *boot, const struct store_values *v, struct error *err)
{
    _json_ json_t *j = NULL;
    char name[64];
    snprintf(name, sizeof(name), "version %u of the reference values", v->version);
    int r = effective_policy_check_values(buffer_bytes(&v->text), name, err);
    if (r == 0)
        r = json_parse(&j, buffer_bytes(&v->text), name, err);
    if (r == 0 && json_array_append(boot, j) < 0)
        r = error_set(err, ENOMEM, "out of memory");
    return r;
}

static int add_versions(json_t *policy, const struct store_values *values, size_t count,
                        struct error *err)
{
    int r = 0;
    json_t *boot = json_object_get(policy, "boot");
    if (!boot) {
        boot = json_array();
        if (json_object_set_new(policy, "boot", boot) < 0)
            return error_set(err, ENOMEM, "out of memory");
    }
    if (!json_is_array(boot))
        return error_set(err, EINVAL, NAME ": \"boot\" must be an array");
    for (size_t i = 0; r == 0 && i < count; i++)
        if (values[i].valid)
            r = add_version(boot, &values[i], err);
    return r;
}

/* Can any guest ever pass it? */
static int check_usable(struct bytes text, struct error *err)
{
    _policy_ struct policy *p = NULL;
    struct policy_problem problem;
    int r = policy_parse(&p, text, NAME, NULL, err);
    if (r < 0)
        return error_hint(err, r,
                          "encroot-policy(5) has the members; certificates and reference values "
                          "stand in the policy itself, not as file names");
    if (p->appraisal.boot_count == 0)
        return error_hint(err,
                          error_set(err, EINVAL,
                                    NAME ": no valid reference values: no guest "
                                         "could be accepted"),
                          "add reference values (hash.json) first; to refuse all guests, disable "
                          "the volume");
    for (size_t at = 0; policy_next_problem(&p->appraisal, &at, &problem);)
        if (problem.fatal)
            return error_hint(err, error_set(err, EINVAL, NAME ": %s", problem.text),
                              "`encroot policy check` says all that is wrong with a policy");
    return 0;
}

int effective_policy_make(struct buffer *ret, json_t *policy, const uint8_t uuid[16],
                          const struct store_values *values, size_t count, struct error *err)
{
    if (!json_is_object(policy))
        return error_set(err, EINVAL, NAME ": not a JSON object");
    _json_ json_t *j = json_deep_copy(policy);
    if (!j)
        return error_set(err, ENOMEM, "out of memory");
    int r = name_volume(j, uuid, err);
    if (r == 0)
        r = add_versions(j, values, count, err);
    if (r < 0)
        return r;
    _free_ char *text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        return error_set(err, ENOMEM, "out of memory");
    if (strlen(text) > STORE_POLICY_MAX)
        return error_hint(err,
                          error_set(err, EFBIG,
                                    NAME ": with its reference values it has %zu bytes, at most "
                                         "%zu are allowed",
                                    strlen(text), STORE_POLICY_MAX),
                          "invalidate versions of reference values that no guest boots any more");
    r = check_usable(BYTES_STR(text), err);
    if (r == 0 && buffer_append(ret, text, strlen(text)) < 0)
        r = error_set(err, ENOMEM, "out of memory");
    return r;
}

/* Whose signatures a policy accepts. */
#include "appraise/policy_parser.h"
#include "base/hex.h"
#include "crypto/crl.h"

#include <string.h>

static const struct list_member trust_lists[] = {
    {"subjects", VALUE_TEXT, offsetof(struct platform_policy, subjects)},
    {"keys", VALUE_SHA256, offsetof(struct platform_policy, keys)},
    {NULL, 0, 0},
};

static bool is_pinned(const struct value_set *pins, struct bytes certificate, bool seen[])
{
    _x509_ X509 *c = NULL;
    uint8_t hash[32];
    if (certificate_parse(&c, certificate, NULL) < 0 || certificate_sha256(c, hash) < 0)
        return false;
    for (size_t i = 0; i < pins->count; i++)
        if (memcmp(pins->list[i].data, hash, 32) == 0)
            return seen[i] = true;
    return false;
}

/* The text itself if it is PEM, else the file that it names. */
static int read_pem(struct policy_parser *p, const char *text, size_t max, struct buffer *file,
                    struct bytes *ret)
{
    *ret = BYTES_STR(text);
    if (strncmp(text, "-----BEGIN ", 11) == 0)
        return 0;
    int r = policy_read_file(p, text, max, file);
    *ret = buffer_bytes(file);
    return r;
}

static int add_certificate(struct policy_parser *p, const char *text, const struct value_set *pins,
                           bool seen[])
{
    _buffer_ struct buffer file = {0};
    struct bytes in;
    int r = read_pem(p, text, CERTIFICATE_MAX, &file, &in);
    if (r == 0)
        r = trust_anchors_add(p->policy->anchors, in, is_pinned(pins, in, seen), p->err);
    return r < 0 ? error_prefix(p->err, r, "%s: \"%.100s\"", p->where, text) : 0;
}

static int add_lists(struct policy_parser *p, json_t *trust)
{
    json_t *list;
    int r = policy_get_list(p, trust, "revocation_lists", POLICY_LIST_MAX, &list);
    for (size_t i = 0; r == 0 && list && i < json_array_size(list); i++) {
        _buffer_ struct buffer file = {0};
        struct bytes in;
        const char *text = json_string_value(json_array_get(list, i));
        if (!text)
            return error_set(p->err, EINVAL, "%s: \"revocation_lists\"[%zu]: expected a string",
                             p->where, i);
        r = read_pem(p, text, CRL_MAX, &file, &in);
        if (r == 0)
            r = trust_anchors_add_crl(p->policy->anchors, in, p->err);
        if (r < 0)
            return error_prefix(p->err, r, "%s: \"%.100s\"", p->where, text);
    }
    return r;
}

static int add_certificates(struct policy_parser *p, json_t *trust, const struct value_set *pins)
{
    json_t *list;
    _free_ bool *seen = calloc(pins->count + 1, sizeof(*seen));
    int r = seen ? policy_get_list(p, trust, "certificates", POLICY_LIST_MAX, &list)
                 : policy_no_memory(p);
    for (size_t i = 0; r == 0 && list && i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        r = text ? add_certificate(p, text, pins, seen)
                 : error_set(p->err, EINVAL, "%s: \"certificates\"[%zu]: expected a string",
                             p->where, i);
    }
    for (size_t i = 0; r == 0 && i < pins->count; i++) {
        char hex[65];
        hex_encode(pins->list[i], hex);
        if (!seen[i])
            r = error_set(p->err, EINVAL,
                          "%s: the root %s is pinned, but is not among the \"certificates\"",
                          p->where, hex);
    }
    return r;
}

int policy_read_trust(struct policy_parser *outer, json_t *root)
{
    static const char *const known[] = {
        "roots", "certificates", "revocation_lists", "revocation", "dates", "subjects", "keys",
        NULL};
    static const struct list_member roots = {"roots", VALUE_SHA256, 0};
    struct value_set pins = {0};
    struct policy_parser inner;
    json_t *trust;
    int r = policy_get_object(outer, root, "trust", known, &trust, &inner);
    if (r < 0 || !trust)
        return r;
    r = trust_anchors_new(&inner.policy->anchors, inner.err);
    if (r == 0)
        r = policy_read_values(&inner, trust, &roots, &pins);
    if (r == 0)
        r = add_certificates(&inner, trust, &pins);
    struct platform_policy *to = &inner.policy->appraisal.platform;
    if (r == 0)
        r = add_lists(&inner, trust);
    if (r == 0)
        r = policy_read_choice(&inner, trust, "revocation", "if-present", "required",
                               &to->chain.revocation_required);
    if (r == 0)
        r = policy_read_choice(&inner, trust, "dates", "ignored", "checked", &to->chain.dates);
    if (r == 0)
        r = policy_read_value_sets(&inner, trust, trust_lists, to);
    to->anchors = inner.policy->anchors;
    return r;
}

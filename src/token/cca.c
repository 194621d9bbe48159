#include "token/cca.h"
#include "token/cbor.h"
#include "token/cca_labels.h"
#include "token/cose_key.h"

#include <string.h>

#define STRING_MAX 4096

static struct bytes *view_at(void *claims, const struct cca_string_claim *c)
{
    return (struct bytes *)((uint8_t *)claims + c->offset);
}

static bool size_is_possible(const struct cca_string_claim *c, size_t size)
{
    if (c->sizes[0] == 0)
        return size >= 1 && size <= STRING_MAX;
    for (size_t i = 0; i < ARRAY_SIZE(c->sizes) && c->sizes[i]; i++)
        if (c->sizes[i] == size)
            return true;
    return false;
}

static void read_string(struct cbor_reader *r, const struct cca_string_claim *c, void *claims)
{
    size_t start = r->at;
    struct bytes v = c->text ? cbor_read_text(r, c->name) : cbor_read_bytes(r, c->name);
    /* virtCCA's firmware pads some texts with NULs. */
    while (c->text && v.size > 0 && v.data[v.size - 1] == 0)
        v.size--;
    if (c->text && v.size > 0 && memchr(v.data, 0, v.size))
        cbor_fail(r, "%s has a NUL in its text", c->name);
    if (r->error)
        return;
    if (!size_is_possible(c, v.size)) {
        r->at = start;
        cbor_fail(r, "%s has %zu bytes", c->name, v.size);
        return;
    }
    *view_at(claims, c) = v;
}

static const struct cca_string_claim *find(const struct cca_string_claim *table, int64_t label)
{
    for (; table->name; table++)
        if (table->label == label)
            return table;
    return NULL;
}

static void require(struct cbor_reader *r, const struct cca_string_claim *table, void *claims)
{
    for (; table->name && !r->error; table++)
        if (table->required && !view_at(claims, table)->data)
            cbor_fail(r, "claim %lld (%s) is missing", (long long)table->label, table->name);
}

static void keep_unknown(struct cbor_reader *r, struct cca_unknowns *u, struct cca_unknown claim)
{
    if (u->count == CCA_UNKNOWN_MAX)
        cbor_fail(r, "more than %d unknown claims", CCA_UNKNOWN_MAX);
    claim.value = cbor_read_item(r);
    if (!r->error)
        u->list[u->count++] = claim;
}

/*
 * Read one map of claims. Claims that are not strings go to `special`, which says whether it
 * took the claim; what nobody takes is kept as unknown.
 */
static void read_claims(struct cbor_reader *r, const struct cca_string_claim *table, void *claims,
                        bool (*special)(struct cbor_reader *, int64_t, void *),
                        struct cca_unknowns *unknown)
{
    size_t n = cbor_read_map(r, "claims");
    for (size_t i = 0; i < n && !r->error; i++) {
        struct cca_unknown claim = {0};
        if (cbor_peek(r) == MAJOR_TEXT)
            claim.text_label = cbor_read_text(r, "claim label");
        else
            claim.label = cbor_read_int(r, "claim label");
        bool by_text = claim.text_label.data != NULL;
        const struct cca_string_claim *c = by_text ? NULL : find(table, claim.label);
        if (c)
            read_string(r, c, claims);
        else if (!by_text && special && special(r, claim.label, claims))
            continue;
        else
            keep_unknown(r, unknown, claim);
    }
    require(r, table, claims);
}

static bool read_cvm_special(struct cbor_reader *r, int64_t label, void *claims)
{
    struct cca_cvm *cvm = claims;
    if (label != LABEL_EXTENDED)
        return false;
    size_t n = cbor_read_array(r, "extended measurements");
    if (!r->error && n != CCA_REGISTERS)
        cbor_fail(r, "%zu extended measurements, not %d", n, CCA_REGISTERS);
    for (size_t i = 0; i < CCA_REGISTERS && !r->error; i++)
        cvm->extended[i] = cbor_read_bytes(r, "extended measurement");
    return true;
}

static int parse_cvm(struct cca_cvm *cvm, bool *wrapped_twice, struct bytes payload, size_t base,
                     struct error *err)
{
    struct cbor_reader r = cbor_read(payload, base, err);
    *wrapped_twice = cbor_peek(&r) == MAJOR_BYTES && !r.error;
    if (*wrapped_twice) {
        struct bytes inner = cbor_read_bytes(&r, "claims");
        r = cbor_read(inner, cbor_offset(&r, inner), err);
    }
    read_claims(&r, cca_cvm_claims, cvm, read_cvm_special, &cvm->unknown);
    if (!r.error && !cvm->extended[0].data)
        cbor_fail(&r, "claim %d (extended measurements) is missing", LABEL_EXTENDED);
    for (size_t i = 0; i < CCA_REGISTERS && !r.error; i++)
        if (cvm->extended[i].size != cvm->initial.size)
            cbor_fail(&r, "extended measurement %zu has %zu bytes, the initial one %zu", i,
                      cvm->extended[i].size, cvm->initial.size);
    return r.error ? error_prefix(err, r.error, "CVM token") : 0;
}

static void read_components(struct cbor_reader *r, struct cca_platform *p)
{
    size_t n = cbor_read_array(r, "software components");
    if (!r->error && (n == 0 || n > CCA_COMPONENTS_MAX))
        cbor_fail(r, "%zu software components: 1 to %d are possible", n, CCA_COMPONENTS_MAX);
    for (size_t i = 0; i < n && !r->error; i++) {
        struct cca_component *c = &p->components[i];
        read_claims(r, cca_component_claims, c, NULL, &c->unknown);
    }
    if (!r->error)
        p->component_count = n;
}

static bool read_platform_special(struct cbor_reader *r, int64_t label, void *claims)
{
    struct cca_platform *p = claims;
    if (label == LABEL_COMPONENTS) {
        read_components(r, p);
        return true;
    }
    if (label != LABEL_LIFECYCLE)
        return false;
    p->lifecycle = cbor_read_unsigned(r, "security lifecycle");
    p->has_lifecycle = true;
    return true;
}

static int parse_platform(struct cca_platform *p, struct bytes payload, size_t base,
                          struct error *err)
{
    struct cbor_reader r = cbor_read(payload, base, err);
    read_claims(&r, cca_platform_claims, p, read_platform_special, &p->unknown);
    if (!r.error && !p->has_lifecycle)
        cbor_fail(&r, "claim %d (security lifecycle) is missing", LABEL_LIFECYCLE);
    if (!r.error && p->component_count == 0)
        cbor_fail(&r, "claim %d (software components) is missing", LABEL_COMPONENTS);
    return r.error ? error_prefix(err, r.error, "platform token") : 0;
}

static bool read_tag(struct cbor_reader *r)
{
    struct cbor_reader ahead = *r;
    struct cbor_head h = cbor_read_head(&ahead);
    bool cmw = !ahead.error && h.major == MAJOR_TAG && h.value == TAG_CCA_TOKEN_CMW;
    cbor_read_tag(r, cmw ? TAG_CCA_TOKEN_CMW : TAG_CCA_TOKEN, "the token");
    return cmw;
}

static struct bytes read_part(struct cbor_reader *r, bool cmw, const char *what)
{
    size_t start = r->at;
    if (cmw && cbor_read_array(r, what) != 2)
        cbor_fail(r, "%s is not a CMW record of a content format and a value", what);
    if (cmw && cbor_read_unsigned(r, "content format") != CMW_EAT_CWT && !r->error) {
        r->at = start;
        cbor_fail(r, "the content format of %s is not %d (EAT in a CWT)", what, CMW_EAT_CWT);
    }
    return cbor_read_bytes(r, what);
}

/* The outer map is signed by nobody: what does not belong there is refused. */
static int parse_collection(struct bytes *platform, struct bytes *cvm, bool *cmw,
                            struct cbor_reader *r)
{
    *cmw = read_tag(r);
    size_t n = cbor_read_map(r, "the token");
    for (size_t i = 0; i < n && !r->error; i++) {
        int64_t label = cbor_read_int(r, "label of a token part");
        if (label == LABEL_PLATFORM_TOKEN)
            *platform = read_part(r, *cmw, "platform token");
        else if (label == LABEL_CVM_TOKEN)
            *cvm = read_part(r, *cmw, "CVM token");
        else
            cbor_fail(r, "unknown token part %lld", (long long)label);
    }
    if (!r->error && !cvm->data)
        cbor_fail(r, "there is no CVM token (%d)", LABEL_CVM_TOKEN);
    return r->error;
}

int cca_token_parse(struct cca_token *ret, struct bytes in, struct error *err)
{
    struct cbor_reader r = cbor_read(in, 0, err);
    struct bytes platform = BYTES_NONE, cvm = BYTES_NONE;
    bool cmw;
    int e = parse_collection(&platform, &cvm, &cmw, &r);
    if (e < 0)
        return error_prefix(err, e, "CCA token");

    struct cca_token t = {.has_platform = platform.data != NULL, .cmw = cmw};
    e = cose_sign1_parse(&t.cvm_sign1, cvm, cbor_offset(&r, cvm), err);
    if (e < 0)
        return error_prefix(err, e, "CVM token");
    e = parse_cvm(&t.cvm, &t.wrapped_twice, t.cvm_sign1.payload,
                  cbor_offset(&r, t.cvm_sign1.payload), err);
    if (e < 0)
        return e;
    if (t.has_platform) {
        e = cose_sign1_parse(&t.platform_sign1, platform, cbor_offset(&r, platform), err);
        if (e < 0)
            return error_prefix(err, e, "platform token");
        e = parse_platform(&t.platform, t.platform_sign1.payload,
                           cbor_offset(&r, t.platform_sign1.payload), err);
        if (e < 0)
            return e;
    }
    *ret = t;
    return 0;
}

int cca_public_key(EVP_PKEY **ret, struct bytes claim, struct error *err)
{
    /* A SubjectPublicKeyInfo is a SEQUENCE, a COSE_Key a map, and a point starts with 04. */
    if (claim.size > 0 && claim.data[0] == 0x30)
        return public_key_from_spki(ret, claim, err);
    if (claim.size == 0 || claim.data[0] >> 5 != MAJOR_MAP)
        return public_key_from_point(ret, claim, err);
    int r = cose_key_parse(ret, claim, 0, err);
    return r < 0 ? error_prefix(err, r, "in claim %d", LABEL_RAK) : 0;
}

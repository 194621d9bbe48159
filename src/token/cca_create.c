#include "token/cbor.h"
#include "token/cca.h"
#include "token/cca_labels.h"
#include "token/cose_key.h"

#include <string.h>

static struct bytes view_of(const void *claims, const struct cca_string_claim *c)
{
    return *(const struct bytes *)((const uint8_t *)claims + c->offset);
}

static size_t strings_present(const struct cca_string_claim *table, const void *claims)
{
    size_t n = 0;
    for (; table->name; table++)
        n += view_of(claims, table).data != NULL;
    return n;
}

static void put_strings(struct cbor_writer *w, const struct cca_string_claim *table,
                        const void *claims)
{
    for (; table->name; table++) {
        struct bytes v = view_of(claims, table);
        if (!v.data)
            continue;
        cbor_put_int(w, table->label);
        if (table->text)
            cbor_put_text(w, v);
        else
            cbor_put_bytes(w, v);
    }
}

static void put_unknowns(struct cbor_writer *w, const struct cca_unknowns *u)
{
    for (size_t i = 0; i < u->count; i++) {
        if (u->list[i].text_label.data)
            cbor_put_text(w, u->list[i].text_label);
        else
            cbor_put_int(w, u->list[i].label);
        cbor_put_raw(w, u->list[i].value);
    }
}

int cca_cvm_encode(struct buffer *ret, const struct cca_cvm *c)
{
    struct cbor_writer w = {.out = ret};
    bool extended = c->extended[0].data != NULL;
    cbor_put_map(&w, strings_present(cca_cvm_claims, c) + extended + c->unknown.count);
    put_strings(&w, cca_cvm_claims, c);
    if (extended) {
        cbor_put_int(&w, LABEL_EXTENDED);
        cbor_put_array(&w, CCA_REGISTERS);
        for (size_t i = 0; i < CCA_REGISTERS; i++)
            cbor_put_bytes(&w, c->extended[i]);
    }
    put_unknowns(&w, &c->unknown);
    return w.error;
}

int cca_platform_encode(struct buffer *ret, const struct cca_platform *p)
{
    struct cbor_writer w = {.out = ret};
    bool components = p->component_count > 0;
    cbor_put_map(&w, strings_present(cca_platform_claims, p) + p->has_lifecycle + components +
                         p->unknown.count);
    put_strings(&w, cca_platform_claims, p);
    if (p->has_lifecycle) {
        cbor_put_int(&w, LABEL_LIFECYCLE);
        cbor_put_int(&w, (int64_t)p->lifecycle);
    }
    if (components) {
        cbor_put_int(&w, LABEL_COMPONENTS);
        cbor_put_array(&w, p->component_count);
        for (size_t i = 0; i < p->component_count; i++) {
            const struct cca_component *c = &p->components[i];
            cbor_put_map(&w, strings_present(cca_component_claims, c) + c->unknown.count);
            put_strings(&w, cca_component_claims, c);
            put_unknowns(&w, &c->unknown);
        }
    }
    put_unknowns(&w, &p->unknown);
    return w.error;
}

static void put_part(struct cbor_writer *w, bool cmw, int64_t label, struct bytes part)
{
    if (part.size == 0)
        return;
    cbor_put_int(w, label);
    if (cmw) {
        cbor_put_array(w, 2);
        cbor_put_int(w, CMW_EAT_CWT);
    }
    cbor_put_bytes(w, part);
}

int cca_token_wrap(struct buffer *ret, bool cmw, struct bytes platform, struct bytes cvm)
{
    struct cbor_writer w = {.out = ret};
    cbor_put_tag(&w, cmw ? TAG_CCA_TOKEN_CMW : TAG_CCA_TOKEN);
    cbor_put_map(&w, (platform.size > 0) + (size_t)(cvm.size > 0));
    put_part(&w, cmw, LABEL_PLATFORM_TOKEN, platform);
    put_part(&w, cmw, LABEL_CVM_TOKEN, cvm);
    return w.error;
}

static int create_cvm(struct buffer *ret, const struct cca_cvm *claims,
                      const struct cca_token_spec *spec, struct error *err)
{
    _buffer_ struct buffer map = {0};
    _buffer_ struct buffer wrapped = {0};
    int r = cca_cvm_encode(&map, claims);
    if (r == 0 && spec->wrap_twice) {
        struct cbor_writer w = {.out = &wrapped};
        cbor_put_bytes(&w, buffer_bytes(&map));
        r = w.error;
    }
    if (r < 0)
        return error_errno(err, -r, "encoding the CVM token");
    return cose_sign1_create(ret, spec->cvm_key, buffer_bytes(spec->wrap_twice ? &wrapped : &map),
                             err);
}

static int create_platform(struct buffer *ret, struct bytes public_key,
                           const struct cca_token_spec *spec, struct error *err)
{
    struct cca_platform p = *spec->platform;
    struct digest binding;
    if (!p.challenge.data) {
        char name[16] = "sha-256";
        struct bytes given = spec->cvm.binding_hash_alg;
        if (given.data)
            snprintf(name, sizeof(name), "%.*s", (int)given.size, (const char *)given.data);
        int r = digest_compute(&binding, hash_by_name(name), public_key);
        if (r < 0)
            return error_set(err, -r, "binding hash algorithm \"%s\" is not known", name);
        p.challenge = digest_bytes(&binding);
    }
    _buffer_ struct buffer map = {0};
    int r = cca_platform_encode(&map, &p);
    if (r < 0)
        return error_errno(err, -r, "encoding the platform token");
    return cose_sign1_create(ret, spec->platform_key, buffer_bytes(&map), err);
}

static struct bytes or_default(struct bytes v, struct bytes otherwise)
{
    return v.data ? v : otherwise;
}

static int encode_key(struct buffer *ret, const struct cca_token_spec *spec, struct error *err)
{
    if (EVP_PKEY_is_a(spec->cvm_key, "RSA"))
        return public_key_to_spki(spec->cvm_key, ret, err);
    return spec->cose_key ? cose_key_encode(spec->cvm_key, ret, err)
                          : public_key_to_point(spec->cvm_key, ret, err);
}

int cca_token_create(struct buffer *ret, const struct cca_token_spec *spec, struct error *err)
{
    static const uint8_t zero[64];
    struct cca_cvm c = spec->cvm;
    if (c.initial.size > sizeof(zero))
        return error_set(err, EINVAL, "an initial measurement of %zu bytes", c.initial.size);
    _buffer_ struct buffer key = {0};
    int r = encode_key(&key, spec, err);
    if (r < 0)
        return r;
    c.public_key = or_default(c.public_key, buffer_bytes(&key));
    c.personalization = or_default(c.personalization, BYTES(zero, 64));
    c.hash_alg = or_default(c.hash_alg, BYTES_STR("sha-256"));
    c.binding_hash_alg = or_default(c.binding_hash_alg, BYTES_STR("sha-256"));
    for (size_t i = 0; i < CCA_REGISTERS; i++)
        c.extended[i] = or_default(c.extended[i], BYTES(zero, c.initial.size));

    _buffer_ struct buffer cvm = {0};
    _buffer_ struct buffer platform = {0};
    r = create_cvm(&cvm, &c, spec, err);
    if (r == 0 && spec->platform)
        r = create_platform(&platform, c.public_key, spec, err);
    if (r < 0)
        return r;
    r = cca_token_wrap(ret, spec->cmw, buffer_bytes(&platform), buffer_bytes(&cvm));
    return r < 0 ? error_errno(err, -r, "encoding the token") : 0;
}

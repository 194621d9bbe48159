#include "cli/inspect.h"
#include "appraise/record.h"
#include "token/cca.h"

#define CLAIM(struct_name, member, show)                                                           \
    {                                                                                              \
#member, offsetof(struct struct_name, member), show                                        \
    }

struct claim {
    const char *name;
    size_t offset;
    void (*put)(json_t *object, const char *key, struct bytes value);
};

static const struct claim cvm_claims[] = {
    CLAIM(cca_cvm, profile, inspect_put_text),
    CLAIM(cca_cvm, challenge, inspect_put_hex),
    CLAIM(cca_cvm, personalization, inspect_put_hex),
    CLAIM(cca_cvm, hash_alg, inspect_put_text),
    CLAIM(cca_cvm, initial, inspect_put_hex),
    CLAIM(cca_cvm, binding_hash_alg, inspect_put_text),
    CLAIM(cca_cvm, public_key, inspect_put_hex),
};

static const struct claim platform_claims[] = {
    CLAIM(cca_platform, profile, inspect_put_text),
    CLAIM(cca_platform, challenge, inspect_put_hex),
    CLAIM(cca_platform, implementation_id, inspect_put_hex),
    CLAIM(cca_platform, instance_id, inspect_put_hex),
    CLAIM(cca_platform, configuration, inspect_put_hex),
    CLAIM(cca_platform, hash_alg, inspect_put_text),
    CLAIM(cca_platform, verification_url, inspect_put_text),
};

static const struct claim component_claims[] = {
    CLAIM(cca_component, type, inspect_put_text),
    CLAIM(cca_component, version, inspect_put_text),
    CLAIM(cca_component, measurement, inspect_put_hex),
    CLAIM(cca_component, signer_id, inspect_put_hex),
    CLAIM(cca_component, hash_alg, inspect_put_text),
};

/* Absent claims are left out. */
static void put_claims(json_t *object, const void *from, const struct claim *claims, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct bytes value = *(const struct bytes *)((const char *)from + claims[i].offset);
        if (value.size > 0)
            claims[i].put(object, claims[i].name, value);
    }
}

#define LABEL_SHOWN 64

static void put_unknown(json_t *object, const struct cca_unknowns *u)
{
    for (size_t i = 0; i < u->count; i++) {
        char key[5 * LABEL_SHOWN];
        _free_ char *text = text_escape(u->list[i].text_label, LABEL_SHOWN);
        if (u->list[i].text_label.data)
            snprintf(key, sizeof(key), "unknown claim \"%s\"", text ? text : "");
        else
            snprintf(key, sizeof(key), "unknown claim %lld", (long long)u->list[i].label);
        inspect_put_hex(object, key, u->list[i].value);
    }
}

static void put_algorithm(json_t *object, const struct cose_sign1 *s)
{
    const char *name = cose_alg_name(s->alg);
    char number[32];
    snprintf(number, sizeof(number), "%lld", (long long)s->alg);
    json_object_set_new(object, "signature_alg", json_string(name ? name : number));
}

static json_t *show_cvm(const struct cca_token *t)
{
    json_t *j = json_object();
    json_t *registers = json_object();
    put_algorithm(j, &t->cvm_sign1);
    put_claims(j, &t->cvm, cvm_claims, ARRAY_SIZE(cvm_claims));
    for (size_t i = 0; i < CCA_REGISTERS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "rem%zu", i);
        inspect_put_hex(registers, name, t->cvm.extended[i]);
    }
    json_object_set_new(j, "extended", registers);
    put_unknown(j, &t->cvm.unknown);
    json_object_set_new(j, "payload_wrapped_twice", json_boolean(t->wrapped_twice));
    return j;
}

static json_t *show_platform(const struct cca_token *t)
{
    const struct cca_platform *p = &t->platform;
    json_t *j = json_object();
    put_algorithm(j, &t->platform_sign1);
    json_t *components = json_array();
    put_claims(j, p, platform_claims, ARRAY_SIZE(platform_claims));
    if (p->has_lifecycle)
        json_object_set_new(j, "lifecycle", json_integer((json_int_t)p->lifecycle));
    for (size_t i = 0; i < p->component_count; i++) {
        json_t *c = json_object();
        put_claims(c, &p->components[i], component_claims, ARRAY_SIZE(component_claims));
        put_unknown(c, &p->components[i].unknown);
        json_array_append_new(components, c);
    }
    json_object_set_new(j, "components", components);
    put_unknown(j, &p->unknown);
    return j;
}

int inspect_token(json_t **ret, struct bytes in, struct error *err)
{
    struct cca_token *t = calloc(1, sizeof(*t));
    if (!t)
        return error_set(err, ENOMEM, "out of memory");
    int r = cca_token_parse(t, in, err);
    if (r == 0) {
        *ret = json_object();
        json_object_set_new(*ret, "tag", json_integer(t->cmw ? 907 : 399));
        json_object_set_new(*ret, "cvm", show_cvm(t));
        if (t->has_platform)
            json_object_set_new(*ret, "platform", show_platform(t));
    }
    free(t);
    return r;
}

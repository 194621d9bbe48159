/*
 * E11: what the platform says of itself, claim by claim, against the policy. A claim equals one of
 * the policy's values, or a rule of the policy waives it, or it rejects.
 */
#include "platform/cca/checks.h"
#include "base/hex.h"

#include <string.h>

#define SHOWN_MAX 64 /* bytes of a value */
#define VALUE_TEXT_MAX (2 * SHOWN_MAX + 8)

/* ---- values as people read them ---- */

typedef const char *show_fn(struct bytes value, char ret[VALUE_TEXT_MAX]);

static const char *as_hex(struct bytes value, char ret[VALUE_TEXT_MAX])
{
    size_t n = value.size < SHOWN_MAX ? value.size : SHOWN_MAX;
    hex_encode(BYTES(value.data, n), ret);
    if (value.size > n)
        snprintf(ret + 2 * n, VALUE_TEXT_MAX - 2 * n, "...");
    return ret;
}

static const char *as_text(struct bytes value, char ret[VALUE_TEXT_MAX])
{
    return printable(value, ret);
}

/* "a, b or c" of what is accepted. */
static const char *list_values(const struct value_set *set, show_fn *show, struct buffer *out)
{
    char text[VALUE_TEXT_MAX];
    int r = 0;
    for (size_t i = 0; r == 0 && i < set->count; i++)
        r = buffer_printf(out, "%s%s", i ? " or " : "", show(set->list[i], text));
    if (r == 0)
        r = buffer_append(out, "", 1);
    return r == 0 ? (const char *)out->data : "the policy's values";
}

/* ---- single values ---- */

struct claim_check {
    struct bytes value;
    const struct value_set *accepted;
    enum waiver waiver;
    show_fn *show;
    const char *member; /* of the policy */
};

static void check_claim(struct cca_verification *v, const char *name, const struct claim_check *c)
{
    char found[VALUE_TEXT_MAX];
    _buffer_ struct buffer expected = {.max = 16384};
    c->show(c->value, found);
    if (c->accepted->count == 0 && waives(v->policy->waivers, c->waiver)) {
        finding_waive(v->f, name, c->waiver, "%s", found);
        return;
    }
    if (value_is_in(c->accepted, c->value)) {
        finding_add(v->f, name, VERDICT_PASS, list_values(c->accepted, c->show, &expected), found);
        return;
    }
    finding_add(v->f, name, VERDICT_REJECT,
                c->accepted->count ? list_values(c->accepted, c->show, &expected)
                                   : "a value in the policy, which has none",
                found);
    finding_remedy(v->f,
                   "if it is as it should be: add it to \"%s\" of the policy's \"platform\", or "
                   "\"%s\" to \"waive\"",
                   c->member, waiver_name(c->waiver));
}

void cca_check_profile(struct cca_verification *v, const char *name)
{
    check_claim(v, name,
                &(struct claim_check){v->token->platform.profile, &v->policy->profiles,
                                      WAIVER_PLATFORM_PROFILE, as_text, "profiles"});
}

void cca_check_implementation(struct cca_verification *v, const char *name)
{
    check_claim(v, name,
                &(struct claim_check){v->token->platform.implementation_id,
                                      &v->policy->implementations, WAIVER_PLATFORM_IMPLEMENTATION,
                                      as_hex, "implementation_ids"});
}

void cca_check_instance(struct cca_verification *v, const char *name)
{
    check_claim(v, name,
                &(struct claim_check){v->token->platform.instance_id, &v->policy->instances,
                                      WAIVER_PLATFORM_INSTANCE, as_hex, "instance_ids"});
}

void cca_check_configuration(struct cca_verification *v, const char *name)
{
    check_claim(v, name,
                &(struct claim_check){v->token->platform.configuration, &v->policy->configurations,
                                      WAIVER_PLATFORM_CONFIGURATION, as_hex, "configurations"});
}

/* A platform that can be debugged attests to nothing. The low byte is the implementation's own
 * (RMM specification, A7.2.3.2.3). */
void cca_check_lifecycle(struct cca_verification *v, const char *name)
{
    static const uint8_t secured = 0x30;
    static const struct bytes only_secured = {&secured, 1};
    const struct value_set *set = &v->policy->lifecycles;
    const struct value_set strict = {&only_secured, 1};
    uint64_t l = v->token->platform.lifecycle;
    uint8_t state = (uint8_t)(l >> 8);
    bool pass = v->token->platform.has_lifecycle && l <= UINT16_MAX &&
                value_is_in(set->count ? set : &strict, BYTES(&state, 1));
    finding_addf(v->f, name, pass ? VERDICT_PASS : VERDICT_REJECT,
                 set->count ? "a state that the policy names" : "secured (0x3000 to 0x30ff)",
                 "0x%04llx", (unsigned long long)l);
    if (!pass)
        finding_remedy(v->f,
                       "the machine can be debugged or is not set up: nothing that it attests "
                       "to can be relied on");
}

/* ---- software components ---- */

/* The number between two dots; what is none, or has more than digits, counts as 0. */
static uint64_t next_part(struct bytes version, size_t *at)
{
    uint64_t n = 0;
    bool number = true;
    for (; *at < version.size && version.data[*at] != '.'; ++*at) {
        number = number && version.data[*at] >= '0' && version.data[*at] <= '9';
        if (number && n < UINT32_MAX)
            n = n * 10 + (uint64_t)(version.data[*at] - '0');
    }
    ++*at;
    return number ? n : 0;
}

/* "1.10" is more than "1.9", and "1.2.5-rc1" less than "1.2.5". */
static bool is_at_least(struct bytes version, struct bytes least)
{
    for (size_t i = 0, j = 0; i < version.size || j < least.size;) {
        uint64_t a = next_part(version, &i), b = next_part(least, &j);
        if (a != b)
            return a > b;
    }
    return true;
}

static const char *misfit(const struct component_policy *p, const struct cca_component *c)
{
    if (p->measurements.count > 0 && !value_is_in(&p->measurements, c->measurement))
        return "another measurement";
    if (p->signers.count > 0 && !value_is_in(&p->signers, c->signer_id))
        return "another signer";
    if (p->version_min.size > 0 && !is_at_least(c->version, p->version_min))
        return "an older version";
    return NULL;
}

static void reject_component(struct cca_verification *v, const char *name,
                             const struct cca_component *c, const char *why)
{
    char type[PRINTABLE_SIZE], version[PRINTABLE_SIZE], hex[VALUE_TEXT_MAX];
    finding_addf(v->f, name, VERDICT_REJECT, "a component of the policy", "%s %s %s: %s",
                 printable(c->type, type), printable(c->version, version),
                 as_hex(c->measurement, hex), why);
    finding_remedy(v->f, "if it is as it should be: add it to \"components\" of the policy's "
                         "\"platform\"");
}

/* One component against the entries of its type; `used` marks the one that fits. */
static void check_component(struct cca_verification *v, const char *name,
                            const struct cca_component *c, bool used[])
{
    const struct platform_policy *p = v->policy;
    const char *why = "none of this type is in the policy";
    for (size_t i = 0; i < p->component_count; i++) {
        if (!bytes_equal(p->components[i].type, c->type))
            continue;
        why = misfit(&p->components[i], c);
        if (why)
            continue;
        char type[PRINTABLE_SIZE], version[PRINTABLE_SIZE], hex[VALUE_TEXT_MAX];
        used[i] = true;
        finding_addf(v->f, name, VERDICT_PASS, "a component of the policy", "%s %s %s",
                     printable(c->type, type), printable(c->version, version),
                     as_hex(c->measurement, hex));
        return;
    }
    reject_component(v, name, c, why);
}

void cca_check_components(struct cca_verification *v, const char *name)
{
    const struct cca_platform *claimed = &v->token->platform;
    const struct platform_policy *p = v->policy;
    char type[PRINTABLE_SIZE], version[PRINTABLE_SIZE], hex[VALUE_TEXT_MAX];
    _free_ bool *used = calloc(p->component_count + 1, sizeof(*used));
    bool waived = p->component_count == 0 && waives(p->waivers, WAIVER_PLATFORM_COMPONENTS);
    for (size_t i = 0; used && i < claimed->component_count; i++) {
        const struct cca_component *c = &claimed->components[i];
        if (waived)
            finding_waive(v->f, name, WAIVER_PLATFORM_COMPONENTS, "%s %s %s",
                          printable(c->type, type), printable(c->version, version),
                          as_hex(c->measurement, hex));
        else
            check_component(v, name, c, used);
    }
    /* E4: what the policy requires and the token lacks. */
    for (size_t i = 0; used && i < p->component_count; i++)
        if (!used[i])
            finding_add(v->f, name, VERDICT_REJECT, printable(p->components[i].type, type),
                        "no component that fits it");
}

/* The checks of a CCA token by itself, whoever vouches for its key. */
#include "platform/cca/checks.h"
#include "base/hex.h"

#include <string.h>

const char *printable(struct bytes text, char ret[PRINTABLE_SIZE])
{
    size_t n = text.size < PRINTABLE_SIZE - 1 ? text.size : PRINTABLE_SIZE - 1;
    for (size_t i = 0; i < n; i++)
        ret[i] = text.data[i] >= 0x20 && text.data[i] < 0x7f ? (char)text.data[i] : '?';
    ret[n] = '\0';
    return ret;
}

enum hash_alg cca_hash(struct bytes claim)
{
    char name[PRINTABLE_SIZE];
    enum hash_alg alg = hash_by_name(printable(claim, name));
    return alg == HASH_SHA1 ? HASH_NONE : alg;
}

void cca_check_form(struct cca_verification *v, const char *name)
{
    const struct cca_token *t = v->token;
    bool pass = v->dialect->wrapped_twice || !t->wrapped_twice;
    finding_addf(v->f, name, pass ? VERDICT_PASS : VERDICT_REJECT,
                 v->dialect->wrapped_twice ? "a CCA attestation token"
                                           : "a CCA attestation token, claims wrapped once",
                 "%s, claims wrapped %s",
                 t->has_platform ? "platform and CVM part" : "CVM part alone",
                 t->wrapped_twice ? "twice (virtCCA)" : "once");
}

/* E14: the evidence is of this connection and no other. */
void cca_check_challenge(struct cca_verification *v, const char *name)
{
    struct bytes expected = BYTES(v->challenge, CHALLENGE_SIZE);
    char hex[2][2 * CHALLENGE_SIZE + 1];
    bool pass = bytes_equal_ct(v->token->cvm.challenge, expected);
    hex_encode(expected, hex[0]);
    hex_encode(v->token->cvm.challenge, hex[1]);
    finding_add(v->f, name, pass ? VERDICT_PASS : VERDICT_REJECT, hex[0], hex[1]);
    if (!pass)
        finding_remedy(v->f, "the token was issued for another connection: it was replayed or "
                             "relayed");
}

void cca_check_hash(struct cca_verification *v, const char *name)
{
    char text[PRINTABLE_SIZE];
    enum hash_alg alg = cca_hash(v->token->cvm.hash_alg);
    bool pass = alg != HASH_NONE && hash_size(alg) == v->token->cvm.initial.size;
    finding_addf(v->f, name, pass ? VERDICT_PASS : VERDICT_REJECT,
                 "a known algorithm, and registers of its size", "%s, registers of %zu bytes",
                 printable(v->token->cvm.hash_alg, text), v->token->cvm.initial.size);
}

bool cca_is_key(const EVP_PKEY *key, const struct cca_key_kinds *kinds,
                char ret_kind[PUBLIC_KEY_GROUP_MAX])
{
    public_key_describe(key, ret_kind);
    for (size_t i = 0; kinds->names[i]; i++)
        if (strcmp(kinds->names[i], ret_kind) == 0)
            return true;
    return false;
}

void cca_check_cvm_key(struct cca_verification *v, const char *name)
{
    const struct cca_key_kinds *kinds = &v->dialect->cvm_keys;
    struct error e = {0};
    char kind[PUBLIC_KEY_GROUP_MAX];
    int r = cca_public_key(&v->cvm_key, v->token->cvm.public_key, &e);
    if (r < 0) {
        finding_add(v->f, name, VERDICT_REJECT, kinds->text, e.text);
        return;
    }
    bool pass = cca_is_key(v->cvm_key, kinds, kind);
    finding_add(v->f, name, pass ? VERDICT_PASS : VERDICT_REJECT, kinds->text, kind);
}

/* That the token is whole, not that its key is anyone's: who vouches for the key is below. */
void cca_check_cvm_signature(struct cca_verification *v, const char *name)
{
    struct error e = {0};
    if (!v->cvm_key) {
        finding_add(v->f, name, VERDICT_REJECT, "a signature by the CVM key", "no usable CVM key");
        return;
    }
    int r = cose_sign1_verify(&v->token->cvm_sign1, v->cvm_key, &e);
    finding_add(v->f, name, r == 0 ? VERDICT_PASS : VERDICT_REJECT, "a signature by the CVM key",
                r == 0 ? cose_alg_name(v->token->cvm_sign1.alg) : e.text);
}

bool value_is_in(const struct value_set *set, struct bytes value)
{
    for (size_t i = 0; i < set->count; i++)
        if (bytes_equal(set->list[i], value))
            return true;
    return false;
}

static bool waived(const struct cca_verification *v, enum waiver w)
{
    return v->policy && waives(v->policy->waivers, w);
}

void cca_check_personalization(struct cca_verification *v, const char *name)
{
    struct bytes rpv = v->token->cvm.personalization;
    char hex[129];
    hex_encode(rpv, hex);
    if (bytes_are_zero(rpv.data, rpv.size))
        finding_add(v->f, name, VERDICT_PASS, "none", "none");
    else if (waived(v, WAIVER_PERSONALIZATION))
        finding_waive(v->f, name, WAIVER_PERSONALIZATION, "%s", hex);
    else
        finding_add(v->f, name, VERDICT_REJECT, "none", hex);
}

static void judge_unknown(struct cca_verification *v, const char *name, const char *claim)
{
    if (waived(v, WAIVER_UNKNOWN_CLAIMS))
        finding_waive(v->f, name, WAIVER_UNKNOWN_CLAIMS, "%s", claim);
    else
        finding_add(v->f, name, VERDICT_REJECT, "claims that are known", claim);
}

static void add_unknown(struct cca_verification *v, const char *name, const struct cca_unknowns *u)
{
    char text[PRINTABLE_SIZE], claim[PRINTABLE_SIZE + 64];
    for (size_t i = 0; i < u->count; i++) {
        if (u->list[i].text_label.data)
            snprintf(claim, sizeof(claim), "\"%s\", %zu bytes",
                     printable(u->list[i].text_label, text), u->list[i].value.size);
        else
            snprintf(claim, sizeof(claim), "%lld, %zu bytes", (long long)u->list[i].label,
                     u->list[i].value.size);
        judge_unknown(v, name, claim);
    }
}

void cca_check_unknown(struct cca_verification *v, const char *name)
{
    size_t count = v->token->cvm.unknown.count;
    add_unknown(v, name, &v->token->cvm.unknown);
    const struct cca_platform *p = &v->token->platform;
    add_unknown(v, name, &p->unknown);
    count += p->unknown.count;
    for (size_t i = 0; i < p->component_count; i++) {
        add_unknown(v, name, &p->components[i].unknown);
        count += p->components[i].unknown.count;
    }
    if (count == 0)
        finding_add(v->f, name, VERDICT_PASS, "none", "none");
}

static void run(struct cca_verification *v, const struct cca_check *table)
{
    for (; table->name; table++) {
        size_t before = v->f->count;
        table->run(v, table->name);
        /* A check that says nothing has not been made. */
        if (v->f->count == before)
            finding_add(v->f, table->name, VERDICT_REJECT, "a result", "none");
    }
}

void cca_verify(struct cca_verification *v)
{
    run(v, v->dialect->always);
    run(v, v->token->has_platform ? v->dialect->with_platform : v->dialect->cvm_alone);
}

void cca_verification_done(struct cca_verification *v)
{
    X509_free(v->certificate);
    EVP_PKEY_free(v->cvm_key);
    v->certificate = NULL;
    v->cvm_key = v->platform_key = NULL;
}

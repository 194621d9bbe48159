/* The checks that every virtCCA token gets, whatever vouches for its key. */
#include "platform/virtcca/checks.h"
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

enum hash_alg virtcca_hash(struct bytes claim)
{
    char name[PRINTABLE_SIZE];
    enum hash_alg alg = hash_by_name(printable(claim, name));
    return alg == HASH_SHA1 ? HASH_NONE : alg;
}

static void check_form(struct verification *v, const char *name)
{
    finding_addf(v->f, name, VERDICT_PASS, "a CCA attestation token", "%s, claims wrapped %s",
                 v->token->has_platform ? "platform and CVM part" : "CVM part alone",
                 v->token->wrapped_twice ? "twice (virtCCA)" : "once");
}

/* E14: the evidence is of this connection and no other. */
static void check_challenge(struct verification *v, const char *name)
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

static void check_hash(struct verification *v, const char *name)
{
    char text[PRINTABLE_SIZE];
    enum hash_alg alg = virtcca_hash(v->token->cvm.hash_alg);
    bool pass = alg != HASH_NONE && hash_size(alg) == v->token->cvm.initial.size;
    finding_addf(v->f, name, pass ? VERDICT_PASS : VERDICT_REJECT,
                 "a known algorithm, and registers of its size", "%s, registers of %zu bytes",
                 printable(v->token->cvm.hash_alg, text), v->token->cvm.initial.size);
}

/* VIRTCCA, "Attestation token": keys are RSA-4096 or on P-521, nothing else. */
static bool is_virtcca_key(const EVP_PKEY *key, char kind[PUBLIC_KEY_GROUP_MAX])
{
    public_key_describe(key, kind);
    return strcmp(kind, "RSA-4096") == 0 || strcmp(kind, "P-521") == 0;
}
#define KEY_KINDS "an RSA-4096 or P-521 key"

static void check_cvm_key(struct verification *v, const char *name)
{
    struct error e = {0};
    char kind[PUBLIC_KEY_GROUP_MAX];
    int r = cca_public_key(&v->cvm_key, v->token->cvm.public_key, &e);
    if (r < 0) {
        finding_add(v->f, name, VERDICT_REJECT, KEY_KINDS, e.text);
        return;
    }
    bool pass = is_virtcca_key(v->cvm_key, kind);
    finding_add(v->f, name, pass ? VERDICT_PASS : VERDICT_REJECT, KEY_KINDS, kind);
}

/* That the token is whole, not that its key is anyone's: who vouches for the key is below. */
static void check_cvm_signature(struct verification *v, const char *name)
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

static void check_personalization(struct verification *v, const char *name)
{
    struct bytes rpv = v->token->cvm.personalization;
    char hex[129];
    hex_encode(rpv, hex);
    if (bytes_are_zero(rpv.data, rpv.size))
        finding_add(v->f, name, VERDICT_PASS, "none", "none");
    else
        finding_add(v->f, name, VERDICT_WAIVED,
                    "waived: the host chooses it, and nothing is granted by it", hex);
}

static void check_certificate(struct verification *v, const char *name)
{
    static const char expected[] = KEY_KINDS " that may sign and is no authority";
    struct error e = {0};
    char kind[PUBLIC_KEY_GROUP_MAX];
    if (v->certificate_file.size == 0) {
        finding_add(v->f, name, VERDICT_REJECT, expected, "no certificate");
        return;
    }
    int r = certificate_parse(&v->certificate, v->certificate_file, &e);
    EVP_PKEY *key = r == 0 ? certificate_public_key(v->certificate) : NULL;
    if (!key) {
        finding_add(v->f, name, VERDICT_REJECT, expected, r < 0 ? e.text : "an unknown key");
        return;
    }
    /* The vendor's authorities issue for other products too: a chain alone says too little. */
    bool usage = certificate_is_signing_leaf(v->certificate);
    bool pass = is_virtcca_key(key, kind) && usage;
    finding_addf(v->f, name, pass ? VERDICT_PASS : VERDICT_REJECT, expected, "%s%s", kind,
                 usage ? "" : ", an authority or not for signatures");
}

/* E1: the chain ends in a root that the operator pinned. */
static void check_chain(struct verification *v, const char *name)
{
    static const char expected[] = "a certificate chain to a pinned root";
    struct error e = {0};
    _buffer_ struct buffer subject = {.max = 512};
    if (!v->certificate) {
        finding_add(v->f, name, VERDICT_REJECT, expected, "no usable certificate");
        return;
    }
    int r = certificate_verify_chain(v->certificate, v->anchors, &e);
    if (certificate_subject(v->certificate, &subject) < 0)
        subject.size = 0;
    finding_addf(v->f, name, r == 0 ? VERDICT_PASS : VERDICT_REJECT, expected, "%.*s%s%s",
                 (int)subject.size, (const char *)subject.data, r < 0 ? ": " : "",
                 r < 0 ? e.text : "");
    if (r < 0)
        finding_remedy(v->f, "if this is a genuine machine: install its vendor's root and "
                             "intermediate certificates, and pin the root's SHA-256");
}

static void add_unknown(struct verification *v, const char *name, const struct cca_unknowns *u)
{
    char text[PRINTABLE_SIZE];
    for (size_t i = 0; i < u->count; i++)
        if (u->list[i].text_label.data)
            finding_addf(v->f, name, VERDICT_WAIVED, "waived: nothing is granted by it",
                         "\"%s\", %zu bytes", printable(u->list[i].text_label, text),
                         u->list[i].value.size);
        else
            finding_addf(v->f, name, VERDICT_WAIVED, "waived: nothing is granted by it",
                         "%lld, %zu bytes", (long long)u->list[i].label, u->list[i].value.size);
}

static void check_unknown(struct verification *v, const char *name)
{
    size_t count = v->token->cvm.unknown.count;
    add_unknown(v, name, &v->token->cvm.unknown);
    if (v->token->has_platform) {
        add_unknown(v, name, &v->token->platform.unknown);
        count += v->token->platform.unknown.count;
    }
    if (count == 0)
        finding_add(v->f, name, VERDICT_PASS, "none", "none");
}

const struct check virtcca_checks_always[] = {
    {"token.form", check_form},
    {"token.challenge", check_challenge},
    {"token.cvm.hash", check_hash},
    {"token.cvm.key", check_cvm_key},
    {"token.cvm.signature", check_cvm_signature},
    {"token.cvm.personalization", check_personalization},
    {"token.claims.unknown", check_unknown},
    {"token.platform.certificate", check_certificate},
    {"token.platform.chain", check_chain},
    {NULL, NULL},
};

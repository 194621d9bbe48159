/*
 * Who vouches for the CVM's key? Either the platform token, signed by the platform's key, whose
 * challenge is a hash of the CVM's key; or, in the older RSA form, nobody need, because the CVM's
 * key is the platform's.
 */
#include "platform/cca/checks.h"
#include "base/hex.h"

#include <string.h>

void cca_check_platform_signature(struct cca_verification *v, const char *name)
{
    static const char expected[] = "a signature by the platform's key";
    struct error e = {0};
    if (!v->platform_key) {
        finding_add(v->f, name, VERDICT_REJECT, expected, "no usable platform key");
        return;
    }
    int r = cose_sign1_verify(&v->token->platform_sign1, v->platform_key, &e);
    finding_add(v->f, name, r == 0 ? VERDICT_PASS : VERDICT_REJECT, expected,
                r == 0 ? cose_alg_name(v->token->platform_sign1.alg) : e.text);
    if (r < 0)
        finding_remedy(v->f, "token and platform key are of different machines, or forged");
}

void cca_check_binding(struct cca_verification *v, const char *name)
{
    struct digest d;
    char text[PRINTABLE_SIZE], expected[DIGEST_HEX_SIZE], found[DIGEST_HEX_SIZE];
    enum hash_alg alg = cca_hash(v->token->cvm.binding_hash_alg);
    if (alg == HASH_NONE || digest_compute(&d, alg, v->token->cvm.public_key) < 0) {
        finding_addf(v->f, name, VERDICT_REJECT, "the CVM key's hash by a known algorithm",
                     "algorithm \"%s\"", printable(v->token->cvm.binding_hash_alg, text));
        return;
    }
    /* The parser allows at most 64 bytes here. */
    bool pass = bytes_equal_ct(v->token->platform.challenge, digest_bytes(&d));
    digest_hex(&d, expected);
    hex_encode(v->token->platform.challenge, found);
    finding_add(v->f, name, pass ? VERDICT_PASS : VERDICT_REJECT, expected, found);
    if (!pass)
        finding_remedy(v->f, "the platform vouches for another CVM's key than this one");
}

/*
 * E3, E4, E15: without a platform token the CVM's key must be the platform's.
 * Firmware with P-521 keys makes one key for each CVM, so there that can never be.
 */
void cca_check_key_is_platforms(struct cca_verification *v, const char *name)
{
    static const char expected[] = "a platform token, or (RSA) the platform's own key";
    if (!v->cvm_key || !EVP_PKEY_is_a(v->cvm_key, "RSA")) {
        finding_add(v->f, name, VERDICT_REJECT, "a platform token, which vouches for the CVM key",
                    "none, and the key is not RSA");
        finding_remedy(v->f, "someone took the platform token away, or the platform's firmware "
                             "gives none");
        return;
    }
    if (!v->platform_key) {
        finding_add(v->f, name, VERDICT_REJECT, expected, "no usable platform key");
        return;
    }
    /* The claim is the one DER encoding of its key, which public_key_from_spki sees to. */
    bool pass = EVP_PKEY_eq(v->cvm_key, v->platform_key) == 1;
    finding_add(v->f, name, pass ? VERDICT_PASS : VERDICT_REJECT, expected,
                pass ? "the platform's own key" : "another key than the platform's");
    if (!pass)
        finding_remedy(v->f, "token and platform key are of different machines, or the platform "
                             "token was taken away");
}

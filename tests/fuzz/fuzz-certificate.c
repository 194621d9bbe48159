/* Certificates and revocation lists: the same bytes are tried as both. */
#include "crypto/crl.h"
#include "crypto/public_key.h"
#include "crypto/x509_issue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_certificate(X509 *c)
{
    struct error e = {0};
    _trust_anchors_ struct trust_anchors *a = NULL;
    const struct chain_rules rules = {.dates = true, .now = 1735689600};
    uint8_t hash[32];
    /* Nothing is pinned, so nothing may verify. */
    if (trust_anchors_new(&a, &e) == 0 && (certificate_verify_chain(c, a, NULL, &e) == 0 ||
                                           certificate_verify_chain(c, a, &rules, &e) == 0))
        abort();
    (void)!certificate_is_signing_leaf(c);
    (void)!certificate_spki_sha256(c, hash);
    EVP_PKEY *key = certificate_public_key(c);
    char kind[PUBLIC_KEY_GROUP_MAX];
    _buffer_ struct buffer spki = {0};
    if (key) {
        public_key_describe(key, kind);
        (void)!public_key_to_spki(key, &spki, &e);
    }
}

/* Judged by an authority with a key of its own, so that all but a signature can be got right. */
static void try_list(X509_CRL *crl, struct bytes in)
{
    static X509 *issuer;
    struct error e = {0};
    const X509_REVOKED *entry;
    _trust_anchors_ struct trust_anchors *a = NULL;
    if (!issuer) {
        EVP_PKEY *key = EVP_EC_gen("P-256");
        const struct certificate_request req = {.name = "issuer", .key = key, .ca = true};
        if (!key || certificate_issue(&issuer, &req, &e) < 0)
            abort();
        EVP_PKEY_free(key);
    }
    X509_set_issuer_name(issuer, X509_CRL_get_issuer(crl));
    (void)!crl_lists(crl, issuer, &entry);
    if (crl_verify(crl, issuer, &e) == 0 ||
        (trust_anchors_new(&a, &e) == 0 && trust_anchors_add_crl(a, in, &e) == 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error e = {0};
    _x509_ X509 *c = NULL;
    _crl_ X509_CRL *crl = NULL;
    if (certificate_parse(&c, BYTES(data, size), &e) == 0)
        try_certificate(c);
    if (crl_parse(&crl, BYTES(data, size), &e) == 0)
        try_list(crl, BYTES(data, size));
    return 0;
}

/* Certificate chains: signatures and form by OpenSSL, then revocation, then remembered. */
#include "crypto/crl.h"
#include "crypto/openssl_error.h"
#include "crypto/trust_anchors.h"

#include <openssl/x509_vfy.h>
#include <string.h>

/* 112 bits: RSA from 2048 bits, no SHA-1 (SSL_CTX_set_security_level(3) has the table). */
#define SECURITY_LEVEL 2

/* What is being verified, and while it is valid: narrowed as its parts are met. */
struct path {
    const struct trust_anchors *anchors;
    const struct chain_rules *rules;
    struct validity valid;
};

/* The last second of "not after" still counts in RFC 5280, no more in OpenSSL: as in OpenSSL. */
static bool narrow(struct path *p, const ASN1_TIME *from, const ASN1_TIME *until)
{
    struct validity v;
    if (!x509_time(from, &v.from) || !x509_time(until, &v.until))
        return false;
    if (v.from > p->valid.from)
        p->valid.from = v.from;
    if (v.until < p->valid.until)
        p->valid.until = v.until;
    return v.from <= p->rules->now && p->rules->now < v.until;
}

/* ---- revocation ---- */

#define NAME_SIZE 256
static const char *name_text(const X509_NAME *name, char ret[NAME_SIZE])
{
    _buffer_ struct buffer text = {.max = NAME_SIZE - 1};
    bool known = certificate_name(name, &text) == 0 && text.size > 0;
    snprintf(ret, NAME_SIZE, "%.*s", known ? (int)text.size : 1,
             known ? (const char *)text.data : "?");
    return ret;
}

/* At most 20 bytes (RFC 5280, 4.1.2.2), written as `openssl x509 -serial` writes it. */
#define SERIAL_SIZE 64
static const char *serial_text(const X509 *c, char ret[SERIAL_SIZE])
{
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(c), NULL);
    char *hex = n ? BN_bn2hex(n) : NULL;
    snprintf(ret, SERIAL_SIZE, "%s", hex ? hex : "?");
    OPENSSL_free(hex);
    BN_free(n);
    return ret;
}

static const char *date_text(const ASN1_TIME *t, char ret[16])
{
    struct tm tm;
    if (!t || ASN1_TIME_to_tm(t, &tm) != 1 || strftime(ret, 16, "%Y-%m-%d", &tm) == 0)
        return "an unknown day";
    return ret;
}

static int revoked(const X509 *c, int depth, const X509_REVOKED *entry, struct error *err)
{
    char name[NAME_SIZE], issuer[NAME_SIZE], serial[SERIAL_SIZE], date[16];
    int r =
        error_set(err, EKEYREVOKED,
                  "certificate %d of the chain was revoked: \"%s\", serial number %s, by \"%s\" "
                  "on %s",
                  depth, name_text(X509_get_subject_name(c), name), serial_text(c, serial),
                  name_text(X509_get_issuer_name(c), issuer),
                  date_text(X509_REVOKED_get0_revocationDate(entry), date));
    return error_hint(err, r,
                      "its key is not to be trusted any more: nothing can be done about "
                      "that here; ask the authority why");
}

static int judge_list_dates(struct path *p, const X509_CRL *crl, struct error *err)
{
    char issuer[NAME_SIZE], dates[2][16];
    const ASN1_TIME *from = X509_CRL_get0_lastUpdate(crl), *until = X509_CRL_get0_nextUpdate(crl);
    if (narrow(p, from, until))
        return 0;
    int r =
        error_set(err, EKEYREJECTED, "revocation list of \"%s\" is for the time from %s until %s",
                  name_text(X509_CRL_get_issuer(crl), issuer), date_text(from, dates[0]),
                  date_text(until, dates[1]));
    return error_hint(err, r,
                      "install that authority's current revocation list, and check this "
                      "machine's clock");
}

static int judge_lists(struct path *p, const X509 *c, int depth, const X509 *issuer,
                       struct error *err)
{
    const struct trust_anchors *a = p->anchors;
    const X509_REVOKED *entry;
    bool known = false;
    for (size_t i = 0; i < a->list_count; i++) {
        if (!revocation_list_is_of(&a->lists[i], issuer))
            continue;
        known = true;
        /* First: what an outdated list revokes is revoked. */
        if (crl_lists(a->lists[i].crl, c, &entry))
            return revoked(c, depth, entry, err);
        int r = p->rules->dates ? judge_list_dates(p, a->lists[i].crl, err) : 0;
        if (r < 0)
            return r;
    }
    if (known || !p->rules->revocation_required)
        return 0;
    char name[NAME_SIZE];
    int r =
        error_set(err, EKEYREJECTED, "there is no revocation list of \"%s\", and one is required",
                  name_text(X509_get_subject_name(issuer), name));
    return error_hint(err, r,
                      "install that authority's current revocation list: encroot init DIR "
                      "--trust FILE.crl");
}

/* Every certificate but the root, which nobody can revoke but the operator, by its pin. */
static int judge_path(struct path *p, STACK_OF(X509) * chain, struct error *err)
{
    int last = sk_X509_num(chain) - 1;
    if (last < 1)
        return error_set(err, EKEYREJECTED, "the certificate is itself a root");
    for (int i = 0; i <= last; i++) {
        const X509 *c = sk_X509_value(chain, i);
        int r = i < last ? judge_lists(p, c, i, sk_X509_value(chain, i + 1), err) : 0;
        if (r < 0)
            return r;
        if (p->rules->dates && !narrow(p, X509_get0_notBefore(c), X509_get0_notAfter(c)))
            return error_set(err, EKEYREJECTED, "certificate %d of the chain is out of date", i);
    }
    return 0;
}

/* ---- the path ---- */

static int find_path(struct path *p, X509_STORE_CTX *ctx, X509 *leaf, struct error *err)
{
    if (X509_STORE_CTX_init(ctx, p->anchors->roots, leaf, p->anchors->intermediates) != 1)
        return openssl_error(err, ENOMEM, "certificate chain");
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    /*
     * No X509_V_FLAG_PARTIAL_CHAIN, so that a path ends at a pinned root or nowhere. Not
     * X509_V_FLAG_X509_STRICT: beyond what is always checked (CA flag of intermediates, path
     * length, keyCertSign, critical extensions) it asks for the form of vendors' roots, and those
     * are pinned by their hash. Not X509_V_FLAG_CRL_CHECK: it has no "honour those that are
     * there", and cannot verify lists signed with SM2.
     */
    if (p->rules->dates)
        X509_VERIFY_PARAM_set_time(param, p->rules->now);
    else
        X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_NO_CHECK_TIME);
    X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
    if (X509_verify_cert(ctx) == 1)
        return 0;
    int reason = X509_STORE_CTX_get_error(ctx);
    return openssl_error(err, EKEYREJECTED, "%s (certificate %d of the chain)",
                         X509_verify_cert_error_string(reason),
                         X509_STORE_CTX_get_error_depth(ctx));
}

static int verify(struct path *p, X509 *leaf, struct error *err)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (!ctx)
        return error_set(err, ENOMEM, "certificate chain");
    int r = find_path(p, ctx, leaf, err);
    if (r == 0)
        r = judge_path(p, X509_STORE_CTX_get0_chain(ctx), err);
    X509_STORE_CTX_free(ctx);
    return r;
}

int certificate_verify_chain(X509 *leaf, const struct trust_anchors *a,
                             const struct chain_rules *rules, struct error *err)
{
    static const struct chain_rules none = {.dates = false};
    uint8_t key[CHAIN_KEY_SIZE];
    /* Where dates are not judged, an entry is valid at any time. */
    struct path p = {.anchors = a, .rules = rules ? rules : &none, .valid = VALID_ALWAYS};
    if (chain_cache_key(key, leaf, p.rules) < 0)
        return error_set(err, EIO, "hashing a certificate");
    if (chain_cache_has(a->cache, key, p.rules->dates ? p.rules->now : 0))
        return 0;
    int r = verify(&p, leaf, err);
    if (r == 0)
        chain_cache_add(a->cache, key, &p.valid);
    return r;
}

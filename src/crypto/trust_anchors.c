#include "crypto/trust_anchors.h"
#include "crypto/crl.h"
#include "crypto/openssl_error.h"

#include <openssl/x509_vfy.h>
#include <string.h>

int trust_anchors_new(struct trust_anchors **ret, struct error *err)
{
    struct trust_anchors *a = calloc(1, sizeof(*a));
    if (a) {
        a->roots = X509_STORE_new();
        a->certificates = sk_X509_new_null();
        a->intermediates = sk_X509_new_null();
        a->cache = chain_cache_new();
        a->leaves = leaf_cache_new();
    }
    if (!a || !a->roots || !a->certificates || !a->intermediates || !a->cache || !a->leaves) {
        trust_anchors_free(a);
        return error_set(err, ENOMEM, "no memory for trust anchors");
    }
    *ret = a;
    return 0;
}

static void drop_list(struct revocation_list *l)
{
    X509_CRL_free(l->crl);
    X509_free(l->issuer);
}

void trust_anchors_free(struct trust_anchors *a)
{
    if (!a)
        return;
    X509_STORE_free(a->roots);
    sk_X509_pop_free(a->certificates, X509_free);
    sk_X509_pop_free(a->intermediates, X509_free);
    for (size_t i = 0; i < a->list_count; i++)
        drop_list(&a->lists[i]);
    free(a->lists);
    chain_cache_free(a->cache);
    leaf_cache_free(a->leaves);
    free(a);
}

static int push(STACK_OF(X509) * stack, X509 *c, struct error *err)
{
    if (X509_up_ref(c) != 1)
        return error_set(err, ENOMEM, "adding a certificate");
    if (sk_X509_push(stack, c) > 0)
        return 0;
    X509_free(c);
    return error_set(err, ENOMEM, "adding a certificate");
}

int trust_anchors_add_parsed(struct trust_anchors *a, X509 *c, bool pinned, struct error *err)
{
    bool self_signed = X509_self_signed(c, 1) == 1;
    if (pinned && !self_signed)
        return openssl_error(err, EINVAL, "a pinned root must be self-signed");
    if (self_signed && !pinned)
        return 0;
    chain_cache_clear(a->cache);
    if (pinned && X509_STORE_add_cert(a->roots, c) != 1)
        return openssl_error(err, ENOMEM, "adding a root");
    a->root_count += pinned;
    int r = pinned ? 0 : push(a->intermediates, c, err);
    return r < 0 ? r : push(a->certificates, c, err);
}

int trust_anchors_add(struct trust_anchors *a, struct bytes certificate, bool pinned_root,
                      struct error *err)
{
    _x509_ X509 *c = NULL;
    int r = certificate_parse(&c, certificate, err);
    return r < 0 ? r : trust_anchors_add_parsed(a, c, pinned_root, err);
}

int certificate_parse_known(X509 **ret, struct bytes in, const struct trust_anchors *a,
                            struct error *err)
{
    X509 *known = a ? leaf_cache_get(a->leaves, in) : NULL;
    if (!known)
        return certificate_parse(ret, in, err);
    *ret = known;
    return 0;
}

void certificate_remember(const struct trust_anchors *a, struct bytes in, X509 *c)
{
    leaf_cache_put(a->leaves, in, c);
}

void trust_anchors_each(const struct trust_anchors *a,
                        void (*tell)(void *arg, const char *role, const X509 *c), void *arg)
{
    for (int roots = 1; roots >= 0; roots--)
        for (int i = 0; i < sk_X509_num(a->certificates); i++) {
            X509 *c = sk_X509_value(a->certificates, i);
            if ((X509_self_signed(c, 0) == 1) == (roots == 1))
                tell(arg, roots ? "root" : "intermediate", c);
        }
}

/* ---- revocation lists ---- */

static const char *day(const ASN1_TIME *t, char ret[16])
{
    struct tm tm;
    ret[0] = '\0';
    if (t && ASN1_TIME_to_tm(t, &tm) == 1)
        strftime(ret, 16, "%Y-%m-%d", &tm);
    return ret;
}

void trust_anchors_each_crl(const struct trust_anchors *a,
                            void (*tell)(void *arg, const X509 *authority, const char *from,
                                         const char *until),
                            void *arg)
{
    char from[16], until[16];
    for (size_t i = 0; i < a->list_count; i++)
        tell(arg, a->lists[i].issuer, day(X509_CRL_get0_lastUpdate(a->lists[i].crl), from),
             day(X509_CRL_get0_nextUpdate(a->lists[i].crl), until));
}

bool revocation_list_is_of(const struct revocation_list *l, const X509 *issuer)
{
    return X509_NAME_cmp(X509_CRL_get_issuer(l->crl), X509_get_subject_name(issuer)) == 0 &&
           EVP_PKEY_eq(X509_get0_pubkey(l->issuer), X509_get0_pubkey(issuer)) == 1;
}

/* The certificate whose key signed the list, borrowed. */
static int find_issuer(const struct trust_anchors *a, X509_CRL *crl, X509 **ret, struct error *err)
{
    const X509_NAME *name = X509_CRL_get_issuer(crl);
    _buffer_ struct buffer text = {.max = 512};
    int r = -ENOENT;
    if (certificate_name(name, &text) < 0)
        text.size = 0;
    for (int i = 0; i < sk_X509_num(a->certificates); i++) {
        X509 *c = sk_X509_value(a->certificates, i);
        if (X509_NAME_cmp(X509_get_subject_name(c), name) != 0)
            continue;
        r = crl_verify(crl, c, err);
        if (r < 0)
            continue;
        *ret = c;
        return 0;
    }
    if (r != -ENOENT)
        return error_hint(err,
                          error_prefix(err, r, "revocation list of \"%.*s\"", (int)text.size,
                                       (const char *)text.data),
                          "get that authority's list again, or remove this one: it says nothing "
                          "that can be believed");
    r = error_set(err, ENOENT,
                  "revocation list of \"%.*s\": that authority is neither a pinned root nor an "
                  "intermediate here",
                  (int)text.size, (const char *)text.data);
    return error_hint(err, r, "install the authority's certificate first, or remove the list");
}

/* Negative: `a` is the older one. Lists without a readable date are as old as can be. */
static int compare_age(const X509_CRL *a, const X509_CRL *b)
{
    time_t at[2] = {0};
    if (!x509_time(X509_CRL_get0_lastUpdate(a), &at[0]))
        at[0] = 0;
    if (!x509_time(X509_CRL_get0_lastUpdate(b), &at[1]))
        at[1] = 0;
    return (at[0] > at[1]) - (at[0] < at[1]);
}

/* Drop the lists that `l` replaces; false if it is itself replaced by one that is there. */
static bool replace_older(struct trust_anchors *a, const struct revocation_list *l)
{
    size_t kept = 0;
    bool newest = true;
    for (size_t i = 0; i < a->list_count; i++) {
        int age = revocation_list_is_of(&a->lists[i], l->issuer)
                      ? compare_age(a->lists[i].crl, l->crl)
                      : 0;
        newest = newest && age <= 0;
        if (age < 0)
            drop_list(&a->lists[i]);
        else
            a->lists[kept++] = a->lists[i];
    }
    a->list_count = kept;
    return newest;
}

int trust_anchors_add_crl(struct trust_anchors *a, struct bytes list, struct error *err)
{
    _crl_ X509_CRL *crl = NULL;
    X509 *issuer = NULL;
    int r = crl_parse(&crl, list, err);
    if (r == 0)
        r = find_issuer(a, crl, &issuer, err);
    if (r < 0)
        return r;
    struct revocation_list l = {.crl = crl, .issuer = issuer};
    struct revocation_list *grown = realloc(a->lists, (a->list_count + 1) * sizeof(*grown));
    if (!grown)
        return error_set(err, ENOMEM, "adding a revocation list");
    a->lists = grown;
    chain_cache_clear(a->cache);
    if (!replace_older(a, &l))
        return 0;
    if (X509_up_ref(issuer) != 1)
        return error_set(err, ENOMEM, "adding a revocation list");
    a->lists[a->list_count++] = l;
    crl = NULL; /* the anchors' now */
    return 0;
}

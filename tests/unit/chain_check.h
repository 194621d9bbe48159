/* A good chain, and asserting what becomes of it; each question is asked twice, for what is
 * remembered. */
#ifndef ENCROOT_TESTS_CHAIN_CHECK_H
#define ENCROOT_TESTS_CHAIN_CHECK_H

#include "unit.h"
#include "chain.h"
#include "crl.h"
#include "crypto/trust_anchors.h"

static struct chain good;

static inline int chain_setup(void **state)
{
    (void)state;
    return chain_make(&good, "good", EVP_EC_gen("P-521"));
}

static inline int chain_teardown(void **state)
{
    (void)state;
    chain_free(&good);
    return 0;
}

static inline void assert_refused(X509 *leaf, const struct trust_anchors *a,
                                  const struct chain_rules *rules, int code, const char *reason)
{
    struct error e = {0};
    for (int again = 0; again < 2; again++) {
        assert_int_equal(certificate_verify_chain(leaf, a, rules, &e), -code);
        if (!strstr(e.text, reason))
            fail_msg("expected \"%s\", got \"%s\"", reason, e.text);
    }
}

static inline void assert_good(X509 *leaf, const struct trust_anchors *a,
                               const struct chain_rules *rules)
{
    struct error e = {0};
    for (int again = 0; again < 2; again++)
        if (certificate_verify_chain(leaf, a, rules, &e) != 0)
            fail_msg("%s", e.text);
}

/* Issued by the intermediate of `good`, for the same key. */
static inline X509 *new_leaf(const char *not_before, const char *not_after)
{
    X509 *leaf = NULL;
    const struct certificate_request req = {.name = "another AIK",
                                            .key = good.aik_key,
                                            .issuer = good.intermediate,
                                            .issuer_key = good.intermediate_key,
                                            .not_before = not_before,
                                            .not_after = not_after};
    assert_int_equal(certificate_issue(&leaf, &req, NULL), 0);
    return leaf;
}

static inline int add_list(struct trust_anchors *a, struct crl_request req, struct error *e)
{
    _buffer_ struct buffer der = {0};
    assert_int_equal(crl_make(&req, false, &der), 0);
    return trust_anchors_add_crl(a, buffer_bytes(&der), e);
}

static inline struct crl_request crl_by_root(const X509 *revoked)
{
    return (struct crl_request){
        .issuer = good.root, .issuer_key = good.root_key, .revoked = revoked};
}

static inline struct crl_request crl_by_intermediate(const X509 *revoked)
{
    return (struct crl_request){
        .issuer = good.intermediate, .issuer_key = good.intermediate_key, .revoked = revoked};
}

#endif

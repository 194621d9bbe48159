/* Chains under rules: dates, SM2, and what is remembered of them. */
#include "chain_check.h"
#include "crypto/chain_cache.h"

#include <pthread.h>

#define YEAR(y) ((time_t)((y)-1970) * 31556952 + 86400)

/* ---- dates ---- */

static void dates_are_judged_by_the_given_clock(void **state)
{
    (void)state;
    _x509_ X509 *leaf = new_leaf("20250101000000Z", "20260101000000Z");
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    assert_good(leaf, a, NULL);
    /* The first second, the last, and the ones before and after. */
    const time_t from = 1735689600, until = 1767225600;
    const struct {
        time_t now;
        const char *reason;
    } moments[] = {
        {from - 1, "certificate is not yet valid (certificate 0"},
        {from, NULL},
        {until - 1, NULL},
        {until, "certificate has expired (certificate 0"},
        {from, NULL},
        {from - 1, "certificate is not yet valid"},
        {until + 1, "certificate has expired"},
        {0, "certificate is not yet valid"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(moments); i++) {
        const struct chain_rules rules = {.dates = true, .now = moments[i].now};
        if (moments[i].reason)
            assert_refused(leaf, a, &rules, EKEYREJECTED, moments[i].reason);
        else
            assert_good(leaf, a, &rules);
    }
}

static void lists_grow_old_only_where_dates_are_judged(void **state)
{
    (void)state;
    struct error e = {0};
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    struct crl_request req = crl_by_intermediate(NULL);
    req.this_update = "20250101000000Z";
    req.next_update = "20250201000000Z";
    assert_int_equal(add_list(a, req, &e), 0);
    const struct chain_rules fresh = {.dates = true, .now = 1735689600},
                             early = {.dates = true, .now = 1735689599},
                             stale = {.dates = true, .now = 1738368000};
    assert_good(good.aik, a, NULL);
    assert_good(good.aik, a, &fresh);
    assert_refused(good.aik, a, &stale, EKEYREJECTED,
                   "revocation list of \"CN=good intermediate,O=encroot\" is for the time from "
                   "2025-01-01 until 2025-02-01");
    assert_refused(good.aik, a, &early, EKEYREJECTED, "is for the time from");
    assert_good(good.aik, a, &fresh);

    req.this_update = "20250102000000Z";
    req.next_update = NULL; /* nobody knows until when */
    assert_int_equal(add_list(a, req, &e), 0);
    const struct chain_rules later = {.dates = true, .now = YEAR(2026)};
    assert_refused(good.aik, a, &later, EKEYREJECTED, "until an unknown day");
    assert_good(good.aik, a, NULL);

    /* And what an outdated list revokes stays so. */
    req.this_update = "20250103000000Z";
    req.next_update = "20250104000000Z";
    req.revoked = good.aik;
    assert_int_equal(add_list(a, req, &e), 0);
    assert_refused(good.aik, a, &later, EKEYREVOKED, "revoked");
}

/* ---- what is remembered ---- */

static bool remembered(const struct trust_anchors *a, const X509 *leaf,
                       const struct chain_rules *rules, time_t now)
{
    uint8_t key[CHAIN_KEY_SIZE];
    assert_int_equal(chain_cache_key(key, leaf, rules), 0);
    return chain_cache_has(a->cache, key, now);
}

static const struct chain_rules no_rules, required_rule = {.revocation_required = true},
                                          dates_rule = {.dates = true, .now = YEAR(2025)};

static void only_what_verified_is_remembered(void **state)
{
    (void)state;
    struct error e = {0};
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    assert_false(remembered(a, good.aik, &no_rules, 0));
    assert_good(good.aik, a, NULL);
    assert_true(remembered(a, good.aik, &no_rules, 0));
    /* Other rules are another question. */
    assert_false(remembered(a, good.aik, &required_rule, 0));
    assert_false(remembered(a, good.aik, &dates_rule, YEAR(2025)));
    assert_refused(good.aik, a, &required_rule, EKEYREJECTED, "no revocation list");
    assert_false(remembered(a, good.aik, &required_rule, 0));
    /* Adding empties it. */
    _x509_ X509 *other = new_leaf(NULL, NULL);
    assert_int_equal(chain_add(a, other, false, &e), 0);
    assert_false(remembered(a, good.aik, &no_rules, 0));
    assert_good(good.aik, a, NULL);
    assert_int_equal(add_list(a, crl_by_intermediate(good.aik), &e), 0);
    assert_false(remembered(a, good.aik, &no_rules, 0));
    assert_refused(good.aik, a, NULL, EKEYREVOKED, "revoked");
    assert_false(remembered(a, good.aik, &no_rules, 0));
}

static void a_changed_bit_is_another_certificate(void **state)
{
    (void)state;
    struct error e = {0};
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    _buffer_ struct buffer der = {0};
    assert_int_equal(certificate_encode(good.aik, false, &der, &e), 0);
    assert_good(good.aik, a, NULL);
    size_t tried = 0;
    for (size_t i = 0; i < der.size; i += 7) {
        _x509_ X509 *changed = NULL;
        der.data[i] ^= 1;
        if (certificate_parse(&changed, buffer_bytes(&der), &e) == 0) {
            assert_false(remembered(a, changed, &no_rules, 0));
            assert_int_equal(certificate_verify_chain(changed, a, NULL, &e), -EKEYREJECTED);
            tried++;
        }
        der.data[i] ^= 1;
    }
    assert_true(tried > 40);
    assert_good(good.aik, a, NULL);
}

/* The entry holds from the latest beginning to the earliest end of all that the path is made of. */
static void an_entry_is_as_valid_as_its_path(void **state)
{
    (void)state;
    struct error e = {0};
    _x509_ X509 *leaf = new_leaf("20250101000000Z", "20260101000000Z");
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    const struct chain_rules rules = {.dates = true, .now = 1738368000};
    assert_good(leaf, a, &rules);
    assert_false(remembered(a, leaf, &rules, 1735689599));
    assert_true(remembered(a, leaf, &rules, 1735689600));
    assert_true(remembered(a, leaf, &rules, 1767225599));
    assert_false(remembered(a, leaf, &rules, 1767225600));

    struct crl_request req = crl_by_root(NULL);
    req.this_update = "20250115000000Z";
    req.next_update = "20250301000000Z";
    assert_int_equal(add_list(a, req, &e), 0);
    assert_good(leaf, a, &rules);
    assert_false(remembered(a, leaf, &rules, 1736899199));
    assert_true(remembered(a, leaf, &rules, 1736899200));
    assert_true(remembered(a, leaf, &rules, 1740787199));
    assert_false(remembered(a, leaf, &rules, 1740787200));
    const struct chain_rules after = {.dates = true, .now = 1740787200};
    assert_refused(leaf, a, &after, EKEYREJECTED, "revocation list of \"CN=good root");
}

/* Entries share places: whichever byte of the key differs, it is another entry. */
static void a_key_is_compared_whole(void **state)
{
    (void)state;
    const struct validity always = VALID_ALWAYS;
    uint8_t key[CHAIN_KEY_SIZE] = {0};
    struct chain_cache *c = chain_cache_new();
    assert_non_null(c);
    assert_false(chain_cache_has(c, key, 0)); /* an empty place is no key of zeros */
    chain_cache_add(c, key, &always);
    assert_true(chain_cache_has(c, key, 0));
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = 0x80;
        assert_false(chain_cache_has(c, key, 0));
        key[i] = 0;
    }
    chain_cache_free(c);
}

#define LEAVES 6
struct worker {
    const struct trust_anchors *a;
    X509 *leaves[LEAVES];
    int failures;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < 60; i++) {
        int which = i % LEAVES; /* the last one is revoked */
        int r = certificate_verify_chain(w->leaves[which], w->a, NULL, NULL);
        w->failures += r != (which == LEAVES - 1 ? -EKEYREVOKED : 0);
    }
    return NULL;
}

static void threads_may_share_anchors(void **state)
{
    (void)state;
    struct error e = {0};
    struct worker workers[4] = {0};
    pthread_t threads[ARRAY_SIZE(workers)];
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    X509 *leaves[LEAVES];
    for (size_t i = 0; i < LEAVES; i++)
        leaves[i] = new_leaf(NULL, NULL);
    assert_int_equal(add_list(a, crl_by_intermediate(leaves[LEAVES - 1]), &e), 0);
    for (size_t i = 0; i < ARRAY_SIZE(workers); i++) {
        workers[i].a = a;
        memcpy(workers[i].leaves, leaves, sizeof(leaves));
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(workers); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].failures, 0);
    }
    for (size_t i = 0; i < LEAVES; i++)
        X509_free(leaves[i]);
}

/* ---- SM2 ---- */

static EVP_PKEY *sm2_key(void)
{
    return EVP_PKEY_Q_keygen(NULL, NULL, "SM2");
}

/* The last byte of a certificate is its signature's. */
static void assert_signature_counts(X509 *leaf, const struct trust_anchors *a)
{
    struct error e = {0};
    _buffer_ struct buffer der = {0};
    _x509_ X509 *changed = NULL;
    assert_int_equal(certificate_encode(leaf, false, &der, &e), 0);
    der.data[der.size - 1] ^= 1;
    assert_int_equal(certificate_parse(&changed, buffer_bytes(&der), &e), 0);
    assert_refused(changed, a, NULL, EKEYREJECTED, "certificate signature failure");
}

static void check_sm2(EVP_PKEY *aik_key)
{
    struct error e = {0};
    struct chain c, forged;
    assert_non_null(aik_key);
    assert_int_equal(chain_make_with(&c, "SM2", sm2_key(), sm2_key(), aik_key), 0);
    assert_int_equal(chain_make_with(&forged, "SM2", sm2_key(), sm2_key(), EVP_EC_gen("P-521")), 0);
    assert_int_equal(X509_get_signature_nid(c.aik), NID_SM2_with_SM3);
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&c);
    assert_non_null(a);
    assert_good(c.aik, a, NULL);
    assert_refused(forged.aik, a, NULL, EKEYREJECTED, "unable to get local issuer certificate");
    assert_signature_counts(c.aik, a);

    struct crl_request req = {.issuer = c.intermediate, .issuer_key = forged.root_key};
    req.revoked = c.aik;
    assert_int_equal(add_list(a, req, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "did not sign it"));
    assert_good(c.aik, a, NULL);
    req.issuer_key = c.intermediate_key;
    assert_int_equal(add_list(a, req, &e), 0);
    assert_refused(c.aik, a, NULL, EKEYREVOKED, "certificate 0 of the chain was revoked");
    chain_free(&c);
    chain_free(&forged);
}

static void sm2_authorities_vouch_for_any_key(void **state)
{
    (void)state;
    check_sm2(EVP_EC_gen("P-521"));
    check_sm2(EVP_RSA_gen(4096));
    check_sm2(sm2_key());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_judged_by_the_given_clock),
        cmocka_unit_test(lists_grow_old_only_where_dates_are_judged),
        cmocka_unit_test(only_what_verified_is_remembered),
        cmocka_unit_test(a_changed_bit_is_another_certificate),
        cmocka_unit_test(an_entry_is_as_valid_as_its_path),
        cmocka_unit_test(a_key_is_compared_whole),
        cmocka_unit_test(threads_may_share_anchors),
        cmocka_unit_test(sm2_authorities_vouch_for_any_key),
    };
    return cmocka_run_group_tests(tests, chain_setup, chain_teardown);
}

/* Revocation lists: which are believed, and what they do to a chain. */
#include "chain_check.h"

static void a_revoked_certificate_is_refused_and_named(void **state)
{
    (void)state;
    struct error e = {0};
    char serial[64];
    _x509_ X509 *other = new_leaf(NULL, NULL);
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    assert_good(good.aik, a, NULL);
    assert_int_equal(add_list(a, crl_by_intermediate(good.aik), &e), 0);
    assert_refused(good.aik, a, NULL, EKEYREVOKED,
                   "certificate 0 of the chain was revoked: "
                   "\"CN=good AIK,O=encroot\", serial number ");
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(good.aik), NULL);
    char *hex = BN_bn2hex(n);
    snprintf(serial, sizeof(serial), "serial number %s, by \"CN=good intermediate", hex);
    assert_refused(good.aik, a, NULL, EKEYREVOKED, serial);
    assert_refused(good.aik, a, NULL, EKEYREVOKED, "on 2024-05-01");
    OPENSSL_free(hex);
    BN_free(n);
    assert_good(other, a, NULL);
}

static void a_revoked_intermediate_takes_its_leaves_with_it(void **state)
{
    (void)state;
    struct error e = {0};
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    assert_int_equal(add_list(a, crl_by_root(good.intermediate), &e), 0);
    assert_refused(good.aik, a, NULL, EKEYREVOKED,
                   "certificate 1 of the chain was revoked: \"CN=good intermediate");
}

static void lists_are_required_only_by_rule(void **state)
{
    (void)state;
    struct error e = {0};
    const struct chain_rules required = {.revocation_required = true};
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    assert_good(good.aik, a, NULL);
    assert_refused(good.aik, a, &required, EKEYREJECTED,
                   "no revocation list of \"CN=good intermediate");
    assert_int_equal(add_list(a, crl_by_intermediate(NULL), &e), 0);
    assert_refused(good.aik, a, &required, EKEYREJECTED, "no revocation list of \"CN=good root");
    assert_int_equal(add_list(a, crl_by_root(NULL), &e), 0);
    assert_good(good.aik, a, &required);
}

static void the_newest_list_counts(void **state)
{
    (void)state;
    struct error e = {0};
    struct crl_request revokes = crl_by_intermediate(good.aik), lifts = crl_by_intermediate(NULL);
    revokes.this_update = "20240301000000Z";
    lifts.this_update = "20240201000000Z";
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    assert_int_equal(add_list(a, lifts, &e), 0);
    assert_int_equal(add_list(a, revokes, &e), 0);
    assert_int_equal(add_list(a, lifts, &e), 0);
    assert_int_equal(a->list_count, 1);
    assert_refused(good.aik, a, NULL, EKEYREVOKED, "revoked");
    lifts.this_update = "20240401000000Z";
    assert_int_equal(add_list(a, lifts, &e), 0);
    assert_int_equal(a->list_count, 1);
    assert_good(good.aik, a, NULL);
    /* Two of one moment: both. */
    revokes.this_update = lifts.this_update;
    assert_int_equal(add_list(a, revokes, &e), 0);
    assert_int_equal(add_list(a, lifts, &e), 0);
    assert_refused(good.aik, a, NULL, EKEYREVOKED, "revoked");
}

static void assert_no_list(struct crl_request req, int code, const char *reason)
{
    struct error e = {0};
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    assert_int_equal(add_list(a, req, &e), -code);
    if (!strstr(e.text, reason))
        fail_msg("expected \"%s\", got \"%s\"", reason, e.text);
    assert_true(e.hint[0]);
    assert_int_equal(a->list_count, 0);
    assert_good(good.aik, a, NULL);
}

static void a_list_that_its_issuer_did_not_sign_is_refused(void **state)
{
    (void)state;
    struct crl_request req = crl_by_intermediate(good.aik);
    req.issuer_key = good.aik_key;
    assert_no_list(req, EBADMSG,
                   "revocation list of \"CN=good intermediate,O=encroot\": its issuer did not sign "
                   "it");
    req.issuer_key = good.root_key; /* an authority above says nothing in another's name */
    assert_no_list(req, EBADMSG, "did not sign it");
    req.issuer = good.aik;
    assert_no_list(req, ENOENT, "\"CN=good AIK,O=encroot\": that authority is neither");
}

static void only_complete_lists_of_authorities_are_understood(void **state)
{
    (void)state;
    static const struct {
        int nid;
        const char *value;
    } partial[] = {
        {NID_issuing_distribution_point, "critical,onlyuser:TRUE"},
        {NID_issuing_distribution_point, "critical,indirectCRL:TRUE"},
        {NID_delta_crl, "critical,DER:020101"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(partial); i++) {
        struct crl_request req = crl_by_intermediate(NULL);
        req.extension = partial[i].nid;
        req.value = partial[i].value;
        assert_no_list(req, EBADMSG, "only complete lists are understood");
    }
    struct error e = {0};
    struct crl_request numbered = crl_by_intermediate(good.aik);
    numbered.extension = NID_crl_number;
    numbered.value = "DER:020107";
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    assert_int_equal(add_list(a, numbered, &e), 0);
    assert_refused(good.aik, a, NULL, EKEYREVOKED, "revoked");
}

static void an_authority_must_be_allowed_to_sign_lists(void **state)
{
    (void)state;
    struct error e = {0};
    _x509_ X509 *mute = NULL;
    const struct certificate_request req = {.name = "mute",
                                            .key = good.intermediate_key,
                                            .issuer = good.root,
                                            .issuer_key = good.root_key,
                                            .ca = true,
                                            .key_usage = "keyCertSign"};
    assert_int_equal(certificate_issue(&mute, &req, &e), 0);
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    assert_int_equal(chain_add(a, mute, false, &e), 0);
    struct crl_request list = crl_by_intermediate(NULL);
    list.issuer = mute;
    assert_int_equal(add_list(a, list, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "may not sign revocation lists"));
}

/* A namesake with another key is another authority: its list is its own. */
static void a_list_is_of_a_name_and_a_key(void **state)
{
    (void)state;
    struct error e = {0};
    struct chain forged;
    assert_int_equal(chain_make(&forged, "good", EVP_EC_gen("P-521")), 0);
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    assert_int_equal(chain_add(a, forged.intermediate, false, &e), 0);
    struct crl_request req = crl_by_intermediate(good.aik);
    req.issuer_key = forged.intermediate_key;
    assert_int_equal(add_list(a, req, &e), 0);
    assert_good(good.aik, a, NULL);
    const struct chain_rules required = {.revocation_required = true};
    assert_refused(good.aik, a, &required, EKEYREJECTED, "no revocation list of");
    chain_free(&forged);
}

static void a_list_is_exactly_one(void **state)
{
    (void)state;
    struct error e = {0};
    const struct crl_request req = crl_by_intermediate(good.aik);
    for (int pem = 0; pem < 2; pem++) {
        _buffer_ struct buffer b = {0};
        _crl_ X509_CRL *crl = NULL;
        X509_CRL *none = NULL;
        assert_int_equal(crl_make(&req, pem, &b), 0);
        assert_int_equal(crl_parse(&crl, buffer_bytes(&b), &e), 0);
        assert_int_equal(crl_parse(&none, BYTES(b.data, b.size - 40), &e), -EBADMSG);
        assert_int_equal(buffer_append(&b, "x", 1), 0);
        assert_int_equal(crl_parse(&none, buffer_bytes(&b), &e), -EBADMSG);
        assert_null(none);
    }
    X509_CRL *none = NULL;
    _buffer_ struct buffer certificate = {0};
    assert_int_equal(certificate_encode(good.aik, true, &certificate, &e), 0);
    assert_int_equal(crl_parse(&none, buffer_bytes(&certificate), &e), -EBADMSG);
    assert_non_null(strstr(e.text, "PEM block \"CERTIFICATE\" is not a plain X509 CRL"));
    assert_int_equal(crl_parse(&none, BYTES_NONE, &e), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_revoked_certificate_is_refused_and_named),
        cmocka_unit_test(a_revoked_intermediate_takes_its_leaves_with_it),
        cmocka_unit_test(lists_are_required_only_by_rule),
        cmocka_unit_test(the_newest_list_counts),
        cmocka_unit_test(a_list_that_its_issuer_did_not_sign_is_refused),
        cmocka_unit_test(only_complete_lists_of_authorities_are_understood),
        cmocka_unit_test(an_authority_must_be_allowed_to_sign_lists),
        cmocka_unit_test(a_list_is_of_a_name_and_a_key),
        cmocka_unit_test(a_list_is_exactly_one),
    };
    return cmocka_run_group_tests(tests, chain_setup, chain_teardown);
}

#include "chain_check.h"
#include "base/hex.h"
#include "base/io.h"
#include "crypto/digest.h"

#include <ftw.h>

static void assert_chain(X509 *leaf, const struct trust_anchors *a, const char *reason)
{
    struct error e = {0};
    int r = certificate_verify_chain(leaf, a, NULL, &e);
    if (!reason) {
        if (r != 0)
            fail_msg("%s", e.text);
        return;
    }
    assert_int_equal(r, -EKEYREJECTED);
    if (!strstr(e.text, reason))
        fail_msg("expected \"%s\", got \"%s\"", reason, e.text);
}

static void a_chain_to_a_pinned_root_verifies(void **state)
{
    (void)state;
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    assert_non_null(a);
    assert_chain(good.aik, a, NULL);
    assert_true(certificate_is_signing_leaf(good.aik));
    assert_false(certificate_is_signing_leaf(good.intermediate));
    assert_false(certificate_is_signing_leaf(good.root));
    assert_int_equal(EVP_PKEY_eq(certificate_public_key(good.aik), good.aik_key), 1);
}

static void only_pinned_roots_are_trusted(void **state)
{
    (void)state;
    struct error e = {0};
    _trust_anchors_ struct trust_anchors *none = NULL, *unpinned = NULL, *partial = NULL;
    assert_int_equal(trust_anchors_new(&none, &e), 0);
    assert_chain(good.aik, none, "unable to get local issuer certificate");
    assert_chain(good.root, none, "self-signed certificate");

    assert_int_equal(trust_anchors_new(&unpinned, &e), 0);
    assert_int_equal(chain_add(unpinned, good.root, false, &e), 0);
    assert_int_equal(chain_add(unpinned, good.intermediate, false, &e), 0);
    assert_chain(good.aik, unpinned, "unable to get local issuer certificate (certificate 1");
    assert_chain(good.root, unpinned, "self-signed certificate");

    /* An intermediate cannot be made a root by asking for it. */
    assert_int_equal(trust_anchors_new(&partial, &e), 0);
    assert_int_equal(chain_add(partial, good.intermediate, true, &e), -EINVAL);
    assert_chain(good.aik, partial, "unable to get local issuer certificate");

    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    assert_chain(good.root, a, "itself a root");
}

/* E1: an authority of the attacker's, with the names of the real one. */
static void a_forged_authority_with_the_same_names_is_refused(void **state)
{
    (void)state;
    struct error e = {0};
    struct chain forged;
    assert_int_equal(chain_make(&forged, "good", EVP_EC_gen("P-521")), 0);
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    assert_int_equal(chain_add(a, forged.root, false, &e), 0);
    assert_int_equal(chain_add(a, forged.intermediate, false, &e), 0);
    assert_chain(forged.aik, a, "unable to get local issuer certificate (certificate 1");
    assert_chain(good.aik, a, NULL); /* the forged ones did not get in its way */

    X509 *self = NULL;
    const struct certificate_request req = {.name = "good AIK", .key = forged.aik_key};
    assert_int_equal(certificate_issue(&self, &req, &e), 0);
    assert_chain(self, a, "self-signed certificate");
    X509_free(self);
    chain_free(&forged);
}

/* Issue intermediate and leaf with one defect in the intermediate. */
static void check_intermediate(struct certificate_request req, const char *reason)
{
    struct error e = {0};
    _x509_ X509 *intermediate = NULL, *leaf = NULL;
    req.name = "intermediate";
    req.key = good.intermediate_key;
    req.issuer = good.root;
    req.issuer_key = good.root_key;
    assert_int_equal(certificate_issue(&intermediate, &req, &e), 0);
    const struct certificate_request l = {.name = "leaf",
                                          .key = good.aik_key,
                                          .issuer = intermediate,
                                          .issuer_key = good.intermediate_key};
    assert_int_equal(certificate_issue(&leaf, &l, &e), 0);
    _trust_anchors_ struct trust_anchors *a = NULL;
    assert_int_equal(trust_anchors_new(&a, &e), 0);
    assert_int_equal(chain_add(a, good.root, true, &e), 0);
    assert_int_equal(chain_add(a, intermediate, false, &e), 0);
    assert_chain(leaf, a, reason);
}

static void intermediates_must_be_authorities(void **state)
{
    (void)state;
    check_intermediate((struct certificate_request){.ca = true}, NULL);
    check_intermediate((struct certificate_request){.ca = true, .not_after = "20240102000000Z"},
                       NULL); /* dates are not judged */
    check_intermediate((struct certificate_request){.ca = false, .key_usage = "keyCertSign"},
                       "invalid CA certificate");
    check_intermediate((struct certificate_request){.ca = true, .key_usage = "digitalSignature"},
                       "invalid CA certificate");
}

static void path_lengths_are_kept(void **state)
{
    (void)state;
    struct error e = {0};
    _x509_ X509 *below = NULL, *leaf = NULL;
    const struct certificate_request b = {.name = "below",
                                          .key = good.aik_key,
                                          .issuer = good.intermediate, /* pathlen 0 */
                                          .issuer_key = good.intermediate_key,
                                          .ca = true};
    assert_int_equal(certificate_issue(&below, &b, &e), 0);
    const struct certificate_request l = {
        .name = "leaf", .key = good.root_key, .issuer = below, .issuer_key = good.aik_key};
    assert_int_equal(certificate_issue(&leaf, &l, &e), 0);
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&good);
    assert_int_equal(chain_add(a, below, false, &e), 0);
    assert_chain(leaf, a, "path length constraint exceeded");
}

static void a_certificate_is_exactly_one(void **state)
{
    (void)state;
    struct error e = {0};
    for (int pem = 0; pem < 2; pem++) {
        _buffer_ struct buffer b = {0};
        _x509_ X509 *c = NULL;
        X509 *none = NULL;
        assert_int_equal(certificate_encode(good.aik, pem, &b, &e), 0);
        assert_int_equal(certificate_parse(&c, buffer_bytes(&b), &e), 0);
        assert_int_equal(X509_cmp(c, good.aik), 0);
        assert_int_equal(certificate_parse(&none, BYTES(b.data, b.size - 40), &e), -EBADMSG);
        size_t size = b.size;
        assert_int_equal(buffer_append(&b, "x", 1), 0);
        assert_int_equal(certificate_parse(&none, buffer_bytes(&b), &e), -EBADMSG);
        b.size = size;
        assert_int_equal(certificate_encode(good.aik, pem, &b, &e), 0);
        assert_int_equal(certificate_parse(&none, buffer_bytes(&b), &e), -EBADMSG);
        assert_null(none);
    }
    X509 *none = NULL;
    assert_int_equal(certificate_parse(&none, BYTES_NONE, &e), -EBADMSG);
}

/* The hash is over the key's whole SubjectPublicKeyInfo, whichever certificate it is in. */
static void a_key_is_pinned_by_its_spki(void **state)
{
    (void)state;
    struct error e = {0};
    struct digest expected;
    uint8_t pin[2][32];
    _x509_ X509 *again = NULL;
    _buffer_ struct buffer spki = {0};
    const struct certificate_request req = {.name = "another name", .key = good.aik_key};
    assert_int_equal(certificate_issue(&again, &req, &e), 0);
    assert_int_equal(certificate_spki_sha256(good.aik, pin[0]), 0);
    assert_int_equal(certificate_spki_sha256(again, pin[1]), 0);
    assert_memory_equal(pin[0], pin[1], 32);
    assert_int_equal(public_key_to_spki(good.aik_key, &spki, &e), 0);
    assert_int_equal(digest_compute(&expected, HASH_SHA256, buffer_bytes(&spki)), 0);
    assert_memory_equal(pin[0], expected.bytes, 32);
    assert_int_equal(certificate_spki_sha256(good.root, pin[1]), 0);
    assert_memory_not_equal(pin[0], pin[1], 32);
}

/* ---- folders ---- */

static char folder[] = "/tmp/encroot-test-x509.XXXXXX";

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void put_file(const char *name, struct bytes content, char path[128])
{
    struct error e = {0};
    snprintf(path, 128, "%s/%s", folder, name);
    assert_int_equal(write_file_atomic(path, content, 0600, true, &e), 0);
}

static void put_certificate(const char *name, X509 *c, bool pem)
{
    char path[128];
    _buffer_ struct buffer b = {0};
    assert_int_equal(certificate_encode(c, pem, &b, NULL), 0);
    put_file(name, buffer_bytes(&b), path);
}

static void put_pin(X509 *c, char path[128])
{
    uint8_t sha256[32];
    char hex[65], text[160];
    assert_int_equal(certificate_sha256(c, sha256), 0);
    hex_encode(BYTES_OF(sha256), hex);
    snprintf(text, sizeof(text), "# roots\n\n  %s  # vendor\r\n", hex);
    put_file("roots.sha256", BYTES_STR(text), path);
}

static void a_folder_is_trusted_as_far_as_its_pins(void **state)
{
    (void)state;
    struct error e = {0};
    struct trust_anchors *a = NULL;
    char pins[128], path[128];
    put_certificate("a-root.pem", good.root, true);
    put_certificate("b-intermediate.der", good.intermediate, false);
    put_file("README.txt", BYTES_STR("not a certificate"), path);
    put_pin(good.root, pins);
    assert_int_equal(trust_anchors_load(&a, folder, pins, &e), 0);
    assert_chain(good.aik, a, NULL);
    trust_anchors_free(a);
    a = NULL;

    put_pin(good.intermediate, pins); /* pinned, but no root */
    assert_int_equal(trust_anchors_load(&a, folder, pins, &e), -ENOENT);
    assert_non_null(strstr(e.text, "none of the roots pinned"));
    put_file("roots.sha256", BYTES_STR("# nothing\n"), pins);
    assert_int_equal(trust_anchors_load(&a, folder, pins, &e), -ENOENT);
    assert_non_null(strstr(e.text, "no root is pinned"));
    put_file("roots.sha256", BYTES_STR("12:34\n"), pins);
    assert_int_equal(trust_anchors_load(&a, folder, pins, &e), -EINVAL);
    assert_non_null(strstr(e.text, "roots.sha256: line 1"));
    put_pin(good.root, pins);
    assert_int_equal(trust_anchors_load(&a, "/nonexistent", pins, &e), -ENOENT);

    /* A list is read after the certificates, whatever its name: it needs its authority. */
    const struct crl_request list = {
        .issuer = good.intermediate, .issuer_key = good.intermediate_key, .revoked = good.aik};
    _buffer_ struct buffer crl = {0};
    assert_int_equal(crl_make(&list, false, &crl), 0);
    put_file("a-list.crl", buffer_bytes(&crl), path);
    assert_int_equal(trust_anchors_load(&a, folder, pins, &e), 0);
    assert_int_equal(certificate_verify_chain(good.aik, a, NULL, &e), -EKEYREVOKED);
    trust_anchors_free(a);
    a = NULL;
    crl.data[crl.size - 1] ^= 1;
    put_file("a-list.crl", buffer_bytes(&crl), path);
    assert_int_equal(trust_anchors_load(&a, folder, pins, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "a-list.crl: revocation list of \"CN=good intermediate"));
    put_file("a-list.crl", BYTES_STR("garbage"), path);
    assert_int_equal(trust_anchors_load(&a, folder, pins, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "a-list.crl: not a revocation list in PEM or DER"));
    assert_int_equal(remove(path), 0);

    put_file("c-garbage.crt", BYTES_STR("garbage"), path);
    assert_int_equal(trust_anchors_load(&a, folder, pins, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "c-garbage.crt"));
    assert_null(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_to_a_pinned_root_verifies),
        cmocka_unit_test(only_pinned_roots_are_trusted),
        cmocka_unit_test(a_forged_authority_with_the_same_names_is_refused),
        cmocka_unit_test(intermediates_must_be_authorities),
        cmocka_unit_test(path_lengths_are_kept),
        cmocka_unit_test(a_certificate_is_exactly_one),
        cmocka_unit_test(a_key_is_pinned_by_its_spki),
        cmocka_unit_test_setup_teardown(a_folder_is_trusted_as_far_as_its_pins, make_folder,
                                        remove_folder),
    };
    return cmocka_run_group_tests(tests, chain_setup, chain_teardown);
}

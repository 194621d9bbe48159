#include "crypto/key_file.h"
#include "crypto/jwk.h"
#include "crypto/openssl_error.h"
#include "crypto/pem.h"
#include "crypto/x509.h"

#include <ctype.h>
#include <openssl/pem.h>
#include <string.h>

#define EXPECTED "expected a public key or certificate in PEM or DER, or a JSON Web Key"

static int private_key(const char *name, struct error *err)
{
    return error_hint(err, error_set(err, EPERM, "%s: a private key", name),
                      "give the public half alone (openssl pkey -pubout), and keep the private one "
                      "where it signs");
}

static int from_certificate(EVP_PKEY **ret, struct bytes in, const char *name, struct error *err)
{
    _x509_ X509 *c = NULL;
    int r = certificate_parse(&c, in, err);
    if (r < 0)
        return error_prefix(err, r, "%s", name);
    EVP_PKEY *key = certificate_public_key(c);
    if (!key || EVP_PKEY_up_ref(key) != 1)
        return openssl_error(err, EBADMSG, "%s: the certificate's key is of an unknown kind", name);
    *ret = key;
    return 0;
}

/*
 * What stands first in the outer SEQUENCE tells them apart: a version number in every private key
 * (RFC 5958, RFC 8017, RFC 5915); in a certificate the SEQUENCE that is signed, which starts with
 * a context tag or a number (RFC 5280, 4.1); in a public key the algorithm's SEQUENCE, which
 * starts with an object identifier.
 */
static int from_der(EVP_PKEY **ret, struct bytes in, const char *name, struct error *err)
{
    const unsigned char *p = in.data;
    long length;
    int tag, class;
    bool sequence = false;
    for (int depth = 0; depth < 2; depth++) {
        long left = (long)(in.data + in.size - p);
        if (ASN1_get_object(&p, &length, &tag, &class, left) & 0x80)
            return openssl_error(err, EBADMSG, "%s: damaged DER; " EXPECTED, name);
        if (depth == 1 && tag == V_ASN1_INTEGER)
            return private_key(name, err);
        sequence = tag == V_ASN1_SEQUENCE;
    }
    if (sequence && p < in.data + in.size && *p != V_ASN1_OBJECT)
        return from_certificate(ret, in, name, err);
    int r = public_key_from_spki(ret, in, err);
    return r < 0 ? error_prefix(err, r, "%s", name) : 0;
}

static int from_pem(EVP_PKEY **ret, struct bytes in, const char *name, struct error *err)
{
    _pem_ struct pem_block p = {0};
    if (!pem_read(&p, in))
        return openssl_error(err, EBADMSG, "%s: " EXPECTED, name);
    if (strstr(p.name, "PRIVATE KEY"))
        return private_key(name, err);
    if (strcmp(p.name, PEM_STRING_X509) == 0)
        return from_certificate(ret, in, name, err);
    if (strcmp(p.name, PEM_STRING_PUBLIC) != 0)
        return error_set(err, EBADMSG, "%s: a PEM block \"%.40s\"; " EXPECTED, name, p.name);
    if (!p.alone)
        return error_set(err, EBADMSG, "%s: something follows the public key", name);
    return from_der(ret, BYTES(p.data, p.size), name, err);
}

static int from_json(EVP_PKEY **ret, struct bytes in, const char *name, struct error *err)
{
    _json_ json_t *root = NULL;
    int r = json_parse(&root, in, name, err);
    if (r < 0)
        return r;
    const json_t *key = root;
    if (json_is_array(root)) {
        if (json_array_size(root) != 1)
            return error_set(err, EINVAL, "%s: a list of %zu keys, expected one", name,
                             json_array_size(root));
        key = json_object_get(json_array_get(root, 0), "pkey");
    }
    if (!json_is_object(key))
        return error_set(err, EINVAL, "%s: a list whose entry has no object \"pkey\"", name);
    return jwk_parse(ret, key, name, err);
}

int key_file_parse(EVP_PKEY **ret, struct bytes in, const char *name, struct error *err)
{
    size_t start = 0;
    if (in.size > KEY_FILE_MAX)
        return error_set(err, EFBIG, "%s: larger than %zu bytes", name, KEY_FILE_MAX);
    while (start < in.size && isspace(in.data[start]))
        start++;
    if (start == in.size)
        return error_set(err, EBADMSG, "%s: empty; " EXPECTED, name);
    if (in.data[start] == '{' || in.data[start] == '[')
        return from_json(ret, in, name, err);
    /* A SEQUENCE; as a character it is "0". */
    if (in.data[0] == 0x30)
        return from_der(ret, in, name, err);
    return from_pem(ret, in, name, err);
}

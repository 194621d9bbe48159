#include "crypto/pem.h"
#include "crypto/base64.h"
#include "crypto/openssl_error.h"

#include <ctype.h>
#include <openssl/pem.h>
#include <string.h>

#define PEM_LINE 64 /* RFC 7468, 2 */

static bool only_space_left(BIO *bio)
{
    char c;
    while (BIO_read(bio, &c, 1) == 1)
        if (!isspace((unsigned char)c))
            return false;
    return true;
}

bool pem_read(struct pem_block *ret, struct bytes in)
{
    BIO *bio = BIO_new_mem_buf(in.data, (int)in.size);
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    long size = 0;
    bool found = bio && PEM_read_bio(bio, &name, &header, &data, &size) == 1;
    if (found)
        *ret = (struct pem_block){.name = name,
                                  .data = data,
                                  .size = (size_t)size,
                                  .encrypted = header[0] != '\0',
                                  .alone = only_space_left(bio)};
    OPENSSL_free(header);
    BIO_free_all(bio);
    return found;
}

void pem_free(struct pem_block *p)
{
    OPENSSL_free(p->name);
    OPENSSL_clear_free(p->data, p->size);
    *p = (struct pem_block){0};
}

static int append(struct buffer *ret, struct bytes der, const struct pem_kind *kind,
                  struct error *err)
{
    int r = buffer_append(ret, der.data, der.size);
    return r < 0 ? error_errno(err, -r, "%s", kind->name) : 0;
}

int pem_or_der(const struct pem_kind *kind, struct bytes in, struct buffer *ret, struct error *err)
{
    _pem_ struct pem_block p = {0};
    if (in.size == 0 || in.size > kind->max)
        return error_set(err, EBADMSG, "a %s of %zu bytes: 1 to %zu are possible", kind->name,
                         in.size, kind->max);
    /* DER starts with a SEQUENCE; that byte is '0', which no PEM file starts with in practice. */
    if (in.data[0] == 0x30)
        return append(ret, in, kind, err);
    if (!pem_read(&p, in))
        return openssl_error(err, EBADMSG, "not a %s in PEM or DER", kind->name);
    /* Not "TRUSTED CERTIFICATE": that one carries its own idea of trust. */
    if (strcmp(p.name, kind->block) != 0 || p.encrypted)
        return error_set(err, EBADMSG, "PEM block \"%.40s\" is not a plain %s", p.name,
                         kind->block);
    if (!p.alone)
        return error_set(err, EBADMSG, "something follows the %s", kind->name);
    return append(ret, BYTES(p.data, p.size), kind, err);
}

int pem_encode(const char *label, struct bytes der, struct buffer *ret)
{
    _buffer_ struct buffer text = {0};
    int r = base64_encode(der, &text);
    if (r == 0)
        r = buffer_printf(ret, "-----BEGIN %s-----\n", label);
    for (size_t at = 0; r == 0 && at < text.size; at += PEM_LINE) {
        size_t left = text.size - at;
        r = buffer_printf(ret, "%.*s\n", (int)(left < PEM_LINE ? left : PEM_LINE),
                          (const char *)text.data + at);
    }
    return r < 0 ? r : buffer_printf(ret, "-----END %s-----\n", label);
}

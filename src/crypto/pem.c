#include "crypto/pem.h"

#include <ctype.h>
#include <openssl/pem.h>

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

/* Keys in memory: 32 bytes from a file or a credential. */
#include "crypto/openssl_error.h"
#include "vault/kek_internal.h"

#include <openssl/evp.h>
#include <string.h>

static void cleanup_cipher_ctx(EVP_CIPHER_CTX **c)
{
    EVP_CIPHER_CTX_free(*c);
}
#define _cipher_ctx_ _cleanup_(cleanup_cipher_ctx)

static int seal(EVP_CIPHER_CTX *c, const uint8_t *key, const struct kek_job *j, struct error *err)
{
    int n;
    if (EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, j->nonce) != 1 ||
        EVP_EncryptUpdate(c, NULL, &n, j->aad.data, (int)j->aad.size) != 1 ||
        EVP_EncryptUpdate(c, j->out, &n, j->in.data, (int)j->in.size) != 1 ||
        EVP_EncryptFinal_ex(c, j->out + j->in.size, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, KEK_TAG_SIZE, j->out + j->in.size) != 1)
        return openssl_error(err, EIO, "AES-256-GCM");
    return 0;
}

static int unseal(EVP_CIPHER_CTX *c, const uint8_t *key, const struct kek_job *j, struct error *err)
{
    int n;
    size_t size = j->in.size - KEK_TAG_SIZE;
    if (EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, j->nonce) != 1 ||
        EVP_DecryptUpdate(c, NULL, &n, j->aad.data, (int)j->aad.size) != 1 ||
        EVP_DecryptUpdate(c, j->out, &n, j->in.data, (int)size) != 1 ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, KEK_TAG_SIZE, (void *)(j->in.data + size)) !=
            1)
        return openssl_error(err, EIO, "AES-256-GCM");
    if (EVP_DecryptFinal_ex(c, j->out + size, &n) != 1)
        return openssl_error(err, EBADMSG, "damaged, or of another volume");
    return 0;
}

int kek_crypt_memory(struct kek *k, const struct kek_job *job, struct error *err)
{
    _cipher_ctx_ EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new(); /* wiped when freed */
    const uint8_t *key = secret_bytes(k->key).data;
    if (!c)
        return error_set(err, ENOMEM, "out of memory");
    return job->seal ? seal(c, key, job, err) : unseal(c, key, job, err);
}

static void close_memory(struct kek *k)
{
    secret_free(k->key);
}

/* ---- file:PATH ---- */
static int open_file(struct kek *k, const char *path, struct error *err)
{
    int r = secret_read_file(&k->key, path, KEK_SIZE, true, err);
    return r == -ENOENT ? error_hint(err, r, "`encroot init` makes one") : r;
}

const struct kek_source kek_source_file = {
    .scheme = "file:", .open = open_file, .close = close_memory, .crypt = kek_crypt_memory};

int kek_create_file(const char *path, struct error *err)
{
    _secret_ struct secret *s = secret_random(KEK_SIZE);
    return s ? secret_write_file(s, path, err)
             : error_set(err, ENOMEM, "cannot lock memory for a key");
}

/* ---- credential:NAME ---- */
int credential_path(char **ret, const char *name, struct error *err)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/'))
        return error_set(err, EINVAL, "\"%s\" is not the name of a credential", name);
    if (!folder)
        return error_hint(err, error_set(err, ENOENT, "$CREDENTIALS_DIRECTORY is not set"),
                          "the service needs LoadCredential=%s:PATH or the like (systemd.exec(5))",
                          name);
    char *path;
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        return error_set(err, ENOMEM, "out of memory");
    *ret = path;
    return 0;
}

/* Its mode may show a bit of the group's where systemd gives access by an ACL (acl(5)). */
static int open_credential(struct kek *k, const char *name, struct error *err)
{
    _free_ char *path = NULL;
    int r = credential_path(&path, name, err);
    return r < 0 ? r : secret_read_file(&k->key, path, KEK_SIZE, false, err);
}

const struct kek_source kek_source_credential = {.scheme = "credential:",
                                                 .open = open_credential,
                                                 .close = close_memory,
                                                 .crypt = kek_crypt_memory};

/* Inside of struct kek, shared by kek.c and the sources of keys, kek_*.c, only. */
#ifndef ENCROOT_VAULT_KEK_INTERNAL_H
#define ENCROOT_VAULT_KEK_INTERNAL_H

#include "vault/kek.h"

#define KEK_NONCE_SIZE 12
#define KEK_TAG_SIZE 16

/* One use of a key: AES-256-GCM. */
struct kek_job {
    bool seal;
    const uint8_t *nonce; /* KEK_NONCE_SIZE */
    struct bytes aad;
    struct bytes in; /* plain, or sealed: with its tag behind it */
    uint8_t *out;    /* room for in.size + KEK_TAG_SIZE, or in.size - KEK_TAG_SIZE */
};

struct kek_source {
    const char *scheme; /* with its colon: "file:" */
    int (*open)(struct kek *k, const char *rest, struct error *err);
    void (*close)(struct kek *k);
    /* -EBADMSG: it does not open; `out` may hold anything then. */
    int (*crypt)(struct kek *k, const struct kek_job *job, struct error *err);
};
extern const struct kek_source kek_source_file, kek_source_credential, kek_source_pkcs11;

struct kek {
    const struct kek_source *source;
    char *name; /* the URL without its query, for errors */
    char *url;
    uint8_t id[KEK_ID_SIZE];
    struct secret *seal; /* vault/seal.h: derived from the key */
    struct secret *key;  /* of a file or credential */
    struct token *token; /* of pkcs11 */
};

typedef int kek_crypt(void *arg, const struct kek_job *job, struct error *err);
/* What the key behind `crypt` is called, and its seal key (SEAL_KEY_SIZE bytes; NULL: not wanted).
 */
int kek_identify(uint8_t ret[KEK_ID_SIZE], struct secret *seal, kek_crypt *crypt, void *arg,
                 struct error *err) _must_use_;

/* -ENOKEY: `what` ("wrapped") was done under a key of this id. */
int kek_unknown(const uint8_t id[KEK_ID_SIZE], const char *what, struct error *err) _must_use_;

/* The path of a credential by its name, a new string. */
int credential_path(char **ret, const char *name, struct error *err) _must_use_;
/* AES-256-GCM in this process. */
int kek_crypt_memory(struct kek *k, const struct kek_job *job, struct error *err) _must_use_;

#endif

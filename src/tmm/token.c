#include "tmm/token.h"

#include "crypto/openssl_error.h"
#include "token/cca.h"

#include <string.h>

#define LIFECYCLE_SECURED 0x3003u /* Arm CCA security model, "secured" */
#define INSTANCE_ID_SIZE 33
#define INSTANCE_ID_UEID 0x01 /* EAT UEID, type RAND */

int token_issuer_init(struct token_issuer *ret, const char *state, enum authority_kind kind,
                      bool platform_token, const struct digest *rim, struct error *err)
{
    struct token_issuer t = {.platform_token = platform_token, .rim = *rim};
    int r = authority_open(&t.authority, state, kind, err);

    if (r < 0)
        return r;
    if (kind == AUTHORITY_RSA && !platform_token) {
        EVP_PKEY_up_ref(t.authority.aik);
        t.rak = t.authority.aik;
    } else {
        t.rak = authority_new_key(kind);
    }
    if (!t.rak) {
        authority_free(&t.authority);
        return openssl_error(err, EIO, "cannot make the guest's key");
    }
    *ret = t;
    return 0;
}

void token_issuer_free(struct token_issuer *t)
{
    EVP_PKEY_free(t->rak);
    authority_free(&t->authority);
    *t = (struct token_issuer){0};
}

/* Which platform this claims to be: the same for every software TMM, and plainly one. */
static int implementation_id(struct digest *ret)
{
    return digest_compute(ret, HASH_SHA256, BYTES_STR(AUTHORITY_NAME));
}

/* One a state folder: made from its attestation key. */
static int instance_id(const struct token_issuer *t, uint8_t ret[INSTANCE_ID_SIZE],
                       struct error *err)
{
    _buffer_ struct buffer spki = {0};
    struct digest d;
    int r = public_key_to_spki(t->authority.aik, &spki, err);

    if (r == 0)
        r = digest_compute(&d, HASH_SHA256, buffer_bytes(&spki));
    if (r < 0)
        return r;
    ret[0] = INSTANCE_ID_UEID;
    memcpy(ret + 1, d.bytes, d.size);
    return 0;
}

int token_issue(struct token_issuer *t, const struct registers *g,
                const uint8_t challenge[TOKEN_CHALLENGE_SIZE], struct buffer *ret,
                struct error *err)
{
    static const char profile[] = "http://arm.com/CCA-SSD/1.0.0";
    static const char version[] = ENCROOT_VERSION;
    uint8_t instance[INSTANCE_ID_SIZE];
    struct digest implementation;
    int r = implementation_id(&implementation);

    if (r == 0)
        r = instance_id(t, instance, err);
    if (r < 0)
        return r;
    const struct cca_platform platform = {
        .profile = BYTES_STR(profile),
        .implementation_id = digest_bytes(&implementation),
        .instance_id = BYTES_OF(instance),
        .configuration = BYTES("\0", 1),
        .hash_alg = BYTES_STR("sha-256"),
        .has_lifecycle = true,
        .lifecycle = LIFECYCLE_SECURED,
        .component_count = 1,
        .components[0] = {.type = BYTES_STR("software TMM"),
                          .measurement = digest_bytes(&implementation),
                          .version = BYTES_STR(version),
                          .signer_id = digest_bytes(&implementation),
                          .hash_alg = BYTES_STR("sha-256")},
    };
    struct cca_token_spec spec = {
        .cvm = {.challenge = BYTES(challenge, TOKEN_CHALLENGE_SIZE),
                .initial = digest_bytes(&t->rim)},
        .cvm_key = t->rak,
        .wrap_twice = true,
        .platform = t->platform_token ? &platform : NULL,
        .platform_key = t->platform_token ? t->authority.aik : NULL,
    };

    for (size_t i = 0; i < REM_COUNT; i++)
        spec.cvm.extended[i] = BYTES_OF(g->rem[i]);
    return cca_token_create(ret, &spec, err);
}

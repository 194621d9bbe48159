/* Keys in a PKCS#11 token: CKM_AES_GCM (PKCS #11 Mechanisms 3.0, 2.13). */
#include "vault/kek_internal.h"
#include "vault/token.h"

#include <string.h>

/* ---- one attempt ---- */
static CK_RV attempt(struct token *t, const struct kek_job *job, uint8_t *out, CK_ULONG *size)
{
    CK_GCM_PARAMS gcm = {.iv_ptr = (uint8_t *)job->nonce,
                         .iv_len = KEK_NONCE_SIZE,
                         .iv_bits = 8 * KEK_NONCE_SIZE,
                         .aad_ptr = (uint8_t *)job->aad.data,
                         .aad_len = job->aad.size,
                         .tag_bits = 8 * KEK_TAG_SIZE};
    CK_MECHANISM mechanism = {CKM_AES_GCM, &gcm, sizeof(gcm)};
    uint8_t *in = (uint8_t *)job->in.data;
    CK_FUNCTION_LIST *m = t->module;
    CK_RV rv = job->seal ? m->C_EncryptInit(t->session, &mechanism, t->key)
                         : m->C_DecryptInit(t->session, &mechanism, t->key);
    if (rv != CKR_OK)
        return rv;
    return job->seal ? m->C_Encrypt(t->session, in, job->in.size, out, size)
                     : m->C_Decrypt(t->session, in, job->in.size, out, size);
}

/* With room for what some modules want: the whole of what came in, decrypting, too. */
static CK_RV attempt_roomy(struct token *t, const struct kek_job *job)
{
    size_t result = job->seal ? job->in.size + KEK_TAG_SIZE : job->in.size - KEK_TAG_SIZE;
    CK_ULONG size = job->in.size + KEK_TAG_SIZE;
    _secret_ struct secret *out = secret_new(size);
    if (!out)
        return CKR_HOST_MEMORY;
    CK_RV rv = t->session ? attempt(t, job, secret_data(out), &size) : CKR_SESSION_CLOSED;
    if (rv == CKR_OK && size != result)
        return CKR_GENERAL_ERROR;
    if (rv == CKR_OK)
        memcpy(job->out, secret_data(out), result);
    return rv;
}

/* ---- what a failure means ---- */
static bool is_one_of(CK_RV rv, const CK_RV *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == rv)
            return true;
    return false;
}

/* The session, the device or what it knew is gone: worth another session. */
static bool is_gone(CK_RV rv)
{
    static const CK_RV gone[] = {
        CKR_SESSION_CLOSED,     CKR_SESSION_HANDLE_INVALID, CKR_DEVICE_REMOVED,
        CKR_DEVICE_ERROR,       CKR_TOKEN_NOT_PRESENT,      CKR_USER_NOT_LOGGED_IN,
        CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID,  CKR_CRYPTOKI_NOT_INITIALIZED};
    return is_one_of(rv, gone, ARRAY_SIZE(gone));
}

static int attempt_for_id(void *arg, const struct kek_job *job, struct error *err)
{
    char buffer[32];
    CK_RV rv = attempt_roomy(arg, job);
    return rv == CKR_OK ? 0
                        : error_set(err, EIO, "the token says %s", token_error_name(rv, buffer));
}

/* A token that still works with this key refused these bytes, in whatever words. */
static bool is_tag_wrong(struct token *t, CK_RV rv)
{
    static const CK_RV wrong[] = {CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE,
                                  CKR_DATA_INVALID, CKR_SIGNATURE_INVALID};
    static const CK_RV vague[] = {CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED};
    uint8_t id[KEK_ID_SIZE];
    return is_one_of(rv, wrong, ARRAY_SIZE(wrong)) ||
           (is_one_of(rv, vague, ARRAY_SIZE(vague)) &&
            kek_identify(id, NULL, attempt_for_id, t, NULL) == 0);
}

/* Not only a key of that name, but that key: what another one wraps would be lost. */
static int reopen(struct kek *k, struct error *err)
{
    uint8_t id[KEK_ID_SIZE];
    token_rest(k->token);
    int r = token_open(k->token, KEK_SIZE, err);
    if (r == 0)
        r = kek_identify(id, NULL, attempt_for_id, k->token, err);
    if (r == 0 && memcmp(id, k->id, KEK_ID_SIZE) != 0)
        r = error_hint(err, error_set(err, ENOENT, "the token has another key of that name now"),
                       "restore the key, or reload to use the new one");
    if (r < 0)
        token_rest(k->token);
    return r < 0 ? error_prefix(err, r, "opening the token again") : 0;
}

static int crypt_in_token(struct kek *k, const struct kek_job *job, struct error *err)
{
    char buffer[32];
    CK_RV rv = attempt_roomy(k->token, job);
    if (is_gone(rv)) {
        int r = reopen(k, err);
        if (r < 0)
            return r;
        rv = attempt_roomy(k->token, job);
    }
    if (rv == CKR_OK)
        return 0;
    if (!job->seal && is_tag_wrong(k->token, rv))
        return error_set(err, EBADMSG, "damaged, or of another volume");
    return error_set(err, EIO, "the token says %s", token_error_name(rv, buffer));
}

/* ---- the URL ---- */
static int check_url(P11KitUri *uri, struct error *err)
{
    const CK_ATTRIBUTE *class = p11_kit_uri_get_attribute(uri, CKA_CLASS);
    if (p11_kit_uri_any_unrecognized(uri))
        return error_set(err, EINVAL, "the URL has attributes that mean nothing (RFC 7512)");
    if (p11_kit_uri_get_pin_value(uri))
        return error_hint(err, error_set(err, EINVAL, "a PIN within the URL is seen by too many"),
                          "put it into a file, and pin-source=file:PATH in place of pin-value");
    if (class && *(const CK_OBJECT_CLASS *)class->pValue != CKO_SECRET_KEY)
        return error_set(err, EINVAL, "\"type\" must be secret-key");
    if (!p11_kit_uri_get_attribute(uri, CKA_LABEL) && !p11_kit_uri_get_attribute(uri, CKA_ID))
        return error_set(err, EINVAL, "the URL names no key: \"object\" or \"id\" is missing");
    return 0;
}

static int parse_url(struct kek *k, struct error *err)
{
    int n = p11_kit_uri_parse(k->url, P11_KIT_URI_FOR_ANY, k->token->uri);
    if (n != P11_KIT_URI_OK)
        return error_set(err, EINVAL, "not a PKCS#11 URL (RFC 7512): %s", p11_kit_uri_message(n));
    return check_url(k->token->uri, err);
}

static int open_pkcs11(struct kek *k, const char *rest, struct error *err)
{
    (void)rest;
    k->token = calloc(1, sizeof(*k->token));
    if (k->token)
        k->token->uri = p11_kit_uri_new();
    if (!k->token || !k->token->uri)
        return error_set(err, ENOMEM, "out of memory");
    int r = parse_url(k, err);
    return r < 0 ? r : token_open(k->token, KEK_SIZE, err);
}

static void close_pkcs11(struct kek *k)
{
    if (!k->token)
        return;
    token_close(k->token);
    p11_kit_uri_free(k->token->uri);
    free(k->token);
}

const struct kek_source kek_source_pkcs11 = {
    .scheme = "pkcs11:", .open = open_pkcs11, .close = close_pkcs11, .crypt = crypt_in_token};

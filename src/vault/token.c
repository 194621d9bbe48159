#include "vault/token.h"
#include "base/secret.h"
#include "vault/token_pin.h"

#include <stdbool.h>
#include <string.h>

#define SLOTS_MAX 256

static const struct {
    CK_RV rv;
    const char *name;
} names[] = {
#define NAME(rv)                                                                                   \
    {                                                                                              \
        rv, #rv                                                                                    \
    }
    NAME(CKR_HOST_MEMORY),
    NAME(CKR_GENERAL_ERROR),
    NAME(CKR_FUNCTION_FAILED),
    NAME(CKR_ARGUMENTS_BAD),
    NAME(CKR_DATA_INVALID),
    NAME(CKR_DATA_LEN_RANGE),
    NAME(CKR_DEVICE_ERROR),
    NAME(CKR_DEVICE_MEMORY),
    NAME(CKR_DEVICE_REMOVED),
    NAME(CKR_ENCRYPTED_DATA_INVALID),
    NAME(CKR_KEY_HANDLE_INVALID),
    NAME(CKR_ENCRYPTED_DATA_LEN_RANGE),
    NAME(CKR_KEY_TYPE_INCONSISTENT),
    NAME(CKR_KEY_FUNCTION_NOT_PERMITTED),
    NAME(CKR_MECHANISM_INVALID),
    NAME(CKR_MECHANISM_PARAM_INVALID),
    NAME(CKR_OBJECT_HANDLE_INVALID),
    NAME(CKR_OPERATION_NOT_INITIALIZED),
    NAME(CKR_PIN_INCORRECT),
    NAME(CKR_PIN_EXPIRED),
    NAME(CKR_PIN_LOCKED),
    NAME(CKR_PIN_LEN_RANGE),
    NAME(CKR_PIN_INVALID),
    NAME(CKR_SESSION_CLOSED),
    NAME(CKR_SESSION_COUNT),
    NAME(CKR_SESSION_HANDLE_INVALID),
    NAME(CKR_TOKEN_NOT_PRESENT),
    NAME(CKR_USER_NOT_LOGGED_IN),
    NAME(CKR_BUFFER_TOO_SMALL),
    NAME(CKR_CRYPTOKI_NOT_INITIALIZED),
#undef NAME
};

const char *token_error_name(CK_RV rv, char buffer[32])
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i].rv == rv)
            return names[i].name;
    snprintf(buffer, 32, "CKR_0x%lx", (unsigned long)rv);
    return buffer;
}

static int failed(struct error *err, const char *what, CK_RV rv)
{
    char buffer[32];
    return error_set(err, EIO, "%s: the token's module says %s", what,
                     token_error_name(rv, buffer));
}

/* ---- modules ---- */
static int load_one(struct token *t, const char *path, struct error *err)
{
    t->modules = calloc(2, sizeof(t->modules[0]));
    if (!t->modules)
        return error_set(err, ENOMEM, "out of memory");
    t->modules[0] = p11_kit_module_load(path, P11_KIT_MODULE_CRITICAL);
    return t->modules[0] ? 0 : error_set(err, ENOENT, "%s: %s", path, p11_kit_message());
}

/* The one that the URL names, or all that this machine is configured to have (pkcs11.conf(5)). */
static int load(struct token *t, struct error *err)
{
    const char *path = p11_kit_uri_get_module_path(t->uri);
    if (path)
        return load_one(t, path, err);
    t->modules = p11_kit_modules_load(NULL, 0);
    return t->modules ? 0 : error_set(err, ENOENT, "loading modules: %s", p11_kit_message());
}

/* One that does not start has no token; others may. */
static int start(struct token *t, struct error *err)
{
    CK_RV rv = CKR_OK;
    size_t started = 0;
    for (size_t i = 0; t->modules[i]; i++) {
        CK_RV one = p11_kit_module_initialize(t->modules[i]);
        if (one == CKR_OK)
            started++;
        else
            rv = one;
    }
    if (started > 0)
        return 0;
    return rv == CKR_OK ? error_set(err, ENOENT, "no module is configured (pkcs11.conf(5))")
                        : failed(err, "starting", rv);
}

/* ---- the token ---- */
struct search {
    CK_FUNCTION_LIST *module;
    CK_SLOT_ID slot;
    CK_TOKEN_INFO info;
    size_t found; /* tokens that match */
};

static void look_into_slot(const struct token *t, CK_FUNCTION_LIST *module, CK_SLOT_ID slot,
                           struct search *s)
{
    CK_TOKEN_INFO info;
    CK_SLOT_INFO slot_info;
    CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(t->uri);
    if ((wanted != (CK_SLOT_ID)-1 && wanted != slot) ||
        module->C_GetTokenInfo(slot, &info) != CKR_OK ||
        module->C_GetSlotInfo(slot, &slot_info) != CKR_OK ||
        !p11_kit_uri_match_slot_info(t->uri, &slot_info) ||
        !p11_kit_uri_match_token_info(t->uri, &info) || !(info.flags & CKF_TOKEN_INITIALIZED))
        return;
    s->module = module;
    s->slot = slot;
    s->info = info;
    s->found++;
}

static void look_into_module(const struct token *t, CK_FUNCTION_LIST *module, struct search *s)
{
    CK_INFO info;
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = ARRAY_SIZE(slots);
    if (module->C_GetInfo(&info) != CKR_OK || !p11_kit_uri_match_module_info(t->uri, &info) ||
        module->C_GetSlotList(CK_TRUE, slots, &count) != CKR_OK)
        return;
    for (CK_ULONG i = 0; i < count; i++)
        look_into_slot(t, module, slots[i], s);
}

static int find_token(struct token *t, struct search *s, struct error *err)
{
    for (size_t i = 0; t->modules[i]; i++)
        look_into_module(t, t->modules[i], s);
    if (s->found == 0)
        return error_hint(err, error_set(err, ENOENT, "no token matches the URL"),
                          "`p11tool --list-tokens` or `pkcs11-tool -L` lists those there are");
    if (s->found > 1)
        return error_hint(err, error_set(err, EINVAL, "%zu tokens match the URL", s->found),
                          "name its serial number, too");
    t->module = s->module;
    return 0;
}

/* ---- the session ---- */
static int refused(struct token *t, CK_RV rv, struct error *err)
{
    static const CK_RV refusals[] = {CKR_PIN_INCORRECT, CKR_PIN_LOCKED, CKR_PIN_EXPIRED,
                                     CKR_PIN_INVALID, CKR_PIN_LEN_RANGE};
    char buffer[32];
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
        if (rv == refusals[i]) {
            t->pin_refused = true;
            return error_set(err, EKEYREJECTED, "the token refuses the PIN (%s)",
                             token_error_name(rv, buffer));
        }
    return failed(err, "logging in", rv);
}

static int log_in(struct token *t, const CK_TOKEN_INFO *info, struct error *err)
{
    const char *source = p11_kit_uri_get_pin_source(t->uri);
    _secret_ struct secret *pin = NULL;
    if (!source && !(info->flags & CKF_LOGIN_REQUIRED))
        return 0;
    if (!source)
        return error_hint(err, error_set(err, EINVAL, "the token wants a PIN"),
                          "put it into a file, and ?pin-source=file:PATH behind the URL");
    if (t->pin_refused)
        return error_hint(err,
                          error_set(err, EKEYREJECTED,
                                    "the token refused the PIN before; it is "
                                    "not tried again, which could lock it"),
                          "correct the PIN's file, and reload");
    int r = token_pin_read(&pin, source, err);
    if (r < 0)
        return r;
    CK_RV rv = t->module->C_Login(t->session, CKU_USER, secret_data(pin), secret_size(pin));
    return rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN ? 0 : refused(t, rv, err);
}

/* ---- the key ---- */
#define WANTED_MAX 8

static int find_objects(struct token *t, CK_OBJECT_HANDLE keys[2], CK_ULONG *count,
                        struct error *err)
{
    static CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    static CK_KEY_TYPE type = CKK_AES;
    CK_ATTRIBUTE wanted[WANTED_MAX] = {{CKA_CLASS, &class, sizeof(class)},
                                       {CKA_KEY_TYPE, &type, sizeof(type)}};
    CK_ULONG n, have = 2;
    const CK_ATTRIBUTE *of_url = p11_kit_uri_get_attributes(t->uri, &n);
    for (CK_ULONG i = 0; i < n && have < WANTED_MAX; i++)
        if (of_url[i].type != CKA_CLASS)
            wanted[have++] = of_url[i];
    CK_RV rv = t->module->C_FindObjectsInit(t->session, wanted, have);
    if (rv == CKR_OK) {
        rv = t->module->C_FindObjects(t->session, keys, 2, count);
        t->module->C_FindObjectsFinal(t->session);
    }
    return rv == CKR_OK ? 0 : failed(err, "looking for the key", rv);
}

static int check_size(struct token *t, size_t size, struct error *err)
{
    CK_ULONG is = 0;
    CK_ATTRIBUTE length = {CKA_VALUE_LEN, &is, sizeof(is)};
    CK_RV rv = t->module->C_GetAttributeValue(t->session, t->key, &length, 1);
    if (rv != CKR_OK)
        return failed(err, "asking for the key's length", rv);
    if (is != size)
        return error_set(err, EINVAL, "expected an AES key of %zu bytes, found one of %lu", size,
                         (unsigned long)is);
    return 0;
}

static int find_key(struct token *t, struct error *err)
{
    CK_OBJECT_HANDLE keys[2];
    CK_ULONG count = 0;
    int r = find_objects(t, keys, &count, err);
    if (r < 0)
        return r;
    if (count == 0)
        return error_hint(err, error_set(err, ENOENT, "the token has no such AES key"),
                          "`pkcs11-tool --login -O` lists its objects; `pkcs11-tool --login "
                          "--keygen --key-type AES:32 --label LABEL` makes one");
    if (count > 1)
        return error_hint(err, error_set(err, EINVAL, "several AES keys match the URL"),
                          "name its id, too (;id=%%01)");
    t->key = keys[0];
    return 0;
}

static int open_session(struct token *t, size_t size, struct error *err)
{
    struct search s = {0};
    int r = find_token(t, &s, err);
    if (r < 0)
        return r;
    CK_RV rv = t->module->C_OpenSession(s.slot, CKF_SERIAL_SESSION, NULL, NULL, &t->session);
    if (rv != CKR_OK)
        return failed(err, "opening a session", rv);
    r = log_in(t, &s.info, err);
    if (r == 0)
        r = find_key(t, err);
    return r < 0 ? r : check_size(t, size, err);
}

int token_open(struct token *t, size_t key_size, struct error *err)
{
    int r = t->modules ? 0 : load(t, err);
    if (r == 0)
        r = start(t, err);
    if (r == 0)
        r = open_session(t, key_size, err);
    if (r < 0)
        token_rest(t);
    return r;
}

void token_rest(struct token *t)
{
    if (t->session)
        t->module->C_CloseSession(t->session);
    t->session = 0;
    t->module = NULL;
    for (size_t i = 0; t->modules && t->modules[i]; i++)
        p11_kit_module_finalize(t->modules[i]);
}

void token_close(struct token *t)
{
    token_rest(t);
    for (size_t i = 0; t->modules && t->modules[i]; i++)
        p11_kit_module_release(t->modules[i]);
    free(TAKE_PTR(t->modules));
}

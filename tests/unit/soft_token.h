/* A PKCS#11 token in software (SoftHSM), in a folder of the test's own. */
#ifndef ENCROOT_TESTS_SOFT_TOKEN_H
#define ENCROOT_TESTS_SOFT_TOKEN_H

#include "scratch.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>

#define SOFT_TOKEN_MODULE "/usr/lib/softhsm/libsofthsm2.so"

/* argv, in the environment of the token; fails the test unless it ends with 0. */
static inline void soft_token_run(const char *folder, const char *const argv[])
{
    struct error err = {0};
    _free_ char *conf = NULL;
    assert_true(asprintf(&conf, "SOFTHSM2_CONF=%s/softhsm.conf", folder) > 0);
    const char *const env[] = {conf, NULL};
    int r = spawn_wait(argv, env, -1, BYTES_NONE, NULL, &err);
    if (r != 0)
        fail_msg("%s: %d: %s", argv[0], r, err.text);
}

/* A token "encroot" with the PIN 1234, which is in FOLDER/pin, too. */
static inline void soft_token_make(const char *folder)
{
    char path[4096], pin[4096];
    _buffer_ struct buffer text = {0};
    snprintf(path, sizeof(path), "%s/tokens", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(buffer_printf(&text, "directories.tokendir = %s\nlog.level = ERROR\n", path),
                     0);
    snprintf(path, sizeof(path), "%s/softhsm.conf", folder);
    assert_int_equal(write_file_atomic(path, buffer_bytes(&text), 0600, false, NULL), 0);
    snprintf(pin, sizeof(pin), "%s/pin", folder);
    assert_int_equal(write_file_atomic(pin, BYTES_STR("1234\n"), 0600, false, NULL), 0);
    assert_int_equal(setenv("SOFTHSM2_CONF", path, 1), 0);
    soft_token_run(folder,
                   (const char *const[]){"softhsm2-util", "--init-token", "--free", "--label",
                                         "encroot", "--pin", "1234", "--so-pin", "5678", NULL});
}

/* type: "AES:32" */
static inline void soft_token_keygen(const char *folder, const char *type, const char *label,
                                     const char *id)
{
    soft_token_run(folder, (const char *const[]){"pkcs11-tool", "--module", SOFT_TOKEN_MODULE,
                                                 "--token-label", "encroot", "--login", "--pin",
                                                 "1234", "--keygen", "--key-type", type, "--label",
                                                 label, "--id", id, NULL});
}

static inline void soft_token_remove_key(const char *folder, const char *label)
{
    soft_token_run(folder, (const char *const[]){"pkcs11-tool", "--module", SOFT_TOKEN_MODULE,
                                                 "--token-label", "encroot", "--login", "--pin",
                                                 "1234", "--delete-object", "--type", "secrkey",
                                                 "--label", label, NULL});
}

/* The module itself, not through p11-kit: while that has it loaded. */
static inline CK_FUNCTION_LIST *soft_token_module(void)
{
    CK_FUNCTION_LIST *module = NULL;
    void *library = dlopen(SOFT_TOKEN_MODULE, RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(library);
    CK_C_GetFunctionList get = (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
    assert_non_null(get);
    assert_int_equal(get(&module), CKR_OK);
    dlclose(library);
    return module;
}

/* What a device that was pulled out and put back looks like: this process's sessions are gone. */
static inline bool soft_token_lose_sessions_of(CK_FUNCTION_LIST *module)
{
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16;
    bool ok = module->C_GetSlotList(CK_TRUE, slots, &count) == CKR_OK;
    for (CK_ULONG i = 0; ok && i < count; i++)
        ok = module->C_CloseAllSessions(slots[i]) == CKR_OK;
    return ok;
}

static inline void soft_token_lose_sessions(void)
{
    assert_true(soft_token_lose_sessions_of(soft_token_module()));
}

#endif

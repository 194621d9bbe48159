#include "cli/verify_token.h"
#include "base/io.h"
#include "base/secret.h"
#include "crypto/key_file.h"
#include "platform/cca/token_verify.h"

int platform_key_load(EVP_PKEY **ret, const char *path, struct error *err)
{
    _buffer_ struct buffer file = {0};
    int r = read_file(path, KEY_FILE_MAX, &file, err);
    if (r < 0)
        return r;
    r = key_file_parse(ret, buffer_bytes(&file), path, err);
    wipe(file.data, file.size); /* someone may have given a private key */
    return r;
}

int verify_token(struct findings *f, struct bytes token, EVP_PKEY *platform_key, struct error *err)
{
    _free_ struct cca_token *t = calloc(1, sizeof(*t));
    if (!t)
        return error_set(err, ENOMEM, "out of memory");
    int r = cca_token_parse(t, token, err);
    if (r == 0)
        cca_token_verify(t, platform_key, f);
    return r;
}

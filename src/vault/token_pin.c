#include "vault/token_pin.h"
#include "base/io.h"
#include "vault/kek_internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static int open_pin(const char *path, bool strict, size_t *ret_size, struct error *err)
{
    struct stat st;
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "%s: not a regular file", path);
    if (strict && (st.st_mode & 077))
        return error_hint(err,
                          error_set(err, EPERM, "%s: a PIN that is open to others (mode %03o)",
                                    path, st.st_mode & 0777),
                          "chmod 600 %s", path);
    if (st.st_size == 0 || st.st_size > TOKEN_PIN_MAX + 1)
        return error_set(err, EINVAL, "%s: expected a PIN of 1 to %d bytes, found %lld", path,
                         TOKEN_PIN_MAX, (long long)st.st_size);
    *ret_size = (size_t)st.st_size;
    return TAKE_FD(fd);
}

static int read_pin(struct secret **ret, const char *path, bool strict, struct error *err)
{
    size_t size = 0;
    _close_ int fd = open_pin(path, strict, &size, err);
    if (fd < 0)
        return fd;
    _secret_ struct secret *text = secret_new(size);
    if (!text)
        return error_set(err, ENOMEM, "cannot lock memory for a PIN");
    int r = read_exact(fd, secret_data(text), size);
    if (r < 0)
        return error_errno(err, -r, "%s", path);
    if (secret_data(text)[size - 1] == '\n')
        size--;
    if (size == 0 || size > TOKEN_PIN_MAX)
        return error_set(err, EINVAL, "%s: expected a PIN of 1 to %d bytes", path, TOKEN_PIN_MAX);
    _secret_ struct secret *pin = secret_new(size);
    if (!pin)
        return error_set(err, ENOMEM, "cannot lock memory for a PIN");
    memcpy(secret_data(pin), secret_data(text), size);
    *ret = TAKE_PTR(pin);
    return 0;
}

int token_pin_read(struct secret **ret, const char *source, struct error *err)
{
    static const char file[] = "file:", credential[] = "credential:";
    _free_ char *path = NULL;
    if (strncmp(source, file, strlen(file)) == 0)
        return read_pin(ret, source + strlen(file), true, err);
    if (strncmp(source, credential, strlen(credential)) != 0)
        return error_set(err, EINVAL, "pin-source: expected file:PATH or credential:NAME");
    int r = credential_path(&path, source + strlen(credential), err);
    return r < 0 ? error_prefix(err, r, "pin-source") : read_pin(ret, path, false, err);
}

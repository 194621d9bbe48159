#include "disk/luks.h"
#include "base/hex.h"

#include <libcryptsetup.h>
#include <string.h>
#include <sys/mman.h>

#define SPARE ((uint64_t)1 << 20) /* libcryptsetup wants to see some data area */
#define CHUNK ((size_t)64 << 10)

/* What libcryptsetup says before it fails; its return value alone tells little. */
static void remember(int level, const char *text, void *arg)
{
    char *last = arg;
    if (level == CRYPT_LOG_ERROR)
        snprintf(last, 256, "%.*s", (int)strcspn(text, "\n"), text);
}

static int fail(struct error *err, int r, const char *what, const char *said)
{
    return error_set(err, -r, "LUKS2 header: %s: %s", what, *said ? said : strerror(-r));
}

static int format(struct crypt_device *cd, const uint8_t uuid[16], uint32_t sector_size,
                  const struct secret *key, const struct secret *secret, const char *said,
                  struct error *err)
{
    /* The secret is random: stretching it would only cost boot time and memory. */
    const struct crypt_pbkdf_type pbkdf = {.type = CRYPT_KDF_PBKDF2,
                                           .hash = "sha512",
                                           .iterations = 1000,
                                           .flags = CRYPT_PBKDF_NO_BENCHMARK};
    struct crypt_params_luks2 params = {.sector_size = sector_size, .pbkdf = &pbkdf};
    char text[UUID_TEXT_SIZE];
    uuid_format(uuid, text);
    const char *vk = (const char *)secret_bytes(key).data;
    size_t vk_size = secret_size(key);
    crypt_set_rng_type(cd, CRYPT_RNG_URANDOM);
    int r = crypt_set_data_offset(cd, LUKS_DATA_OFFSET / 512);
    if (r == 0)
        r = crypt_format(cd, CRYPT_LUKS2, "aes", "xts-plain64", text, vk, vk_size, &params);
    if (r < 0)
        return fail(err, r, "formatting", said);
    struct bytes passphrase = secret_bytes(secret);
    r = crypt_keyslot_add_by_volume_key(cd, 0, vk, vk_size, (const char *)passphrase.data,
                                        passphrase.size);
    return r < 0 ? fail(err, r, "adding the keyslot", said) : 0;
}

/* The new image is zero where nothing was written, so only what is not zero goes out. */
static int write_out(int fd, struct blockdev *d, struct error *err)
{
    uint8_t chunk[CHUNK];
    for (uint64_t at = 0; at < LUKS_DATA_OFFSET; at += CHUNK) {
        int r = pread_exact(fd, chunk, CHUNK, (off_t)at);
        if (r < 0)
            return error_errno(err, -r, "LUKS2 header: reading it back");
        if (bytes_are_zero(chunk, CHUNK))
            continue;
        r = blockdev_write(d, chunk, CHUNK, at, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int luks_format(struct blockdev *d, const uint8_t uuid[16], uint32_t sector_size,
                const struct secret *key, const struct secret *secret, struct error *err)
{
    if (d->size <= LUKS_DATA_OFFSET)
        return error_set(err, ENOSPC, "%s: too small for a LUKS2 header", d->name);
    _close_ int fd = memfd_create("luks2-header", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)(LUKS_DATA_OFFSET + SPARE)) < 0)
        return error_errno(err, errno, "LUKS2 header");
    char path[32], said[256] = "";
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    crypt_metadata_locking(NULL, 0); /* nobody else knows this file */
    struct crypt_device *cd = NULL;
    int r = crypt_init(&cd, path);
    if (r < 0)
        return fail(err, r, "starting", said);
    crypt_set_log_callback(cd, remember, said);
    r = format(cd, uuid, sector_size, key, secret, said, err);
    crypt_free(cd);
    return r < 0 ? r : write_out(fd, d, err);
}

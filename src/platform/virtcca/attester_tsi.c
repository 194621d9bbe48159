#include "platform/virtcca/attester.h"

#include "base/io.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#define DEVICE "/dev/tsi"
#define CCEL_DATA "/sys/firmware/acpi/tables/data/CCEL"
#define READS_MAX 64

_Static_assert(TSI_GET_TOKEN == 0xe0485401, "VIRTCCA.md, 2");
_Static_assert(TSI_GET_TOKEN_OLD == 0xc0785401, "VIRTCCA.md, 2");
_Static_assert(TSI_GET_CERTIFICATE == 0x90085402, "VIRTCCA.md, 2");

/* ---- the protocol ---- */
static int check_size(uint64_t size, size_t max, const char *what, struct error *err)
{
    if (size == 0 || size > max)
        return error_set(err, EPROTO, DEVICE ": %s of %llu bytes, expected 1 to %zu", what,
                         (unsigned long long)size, max);
    return 0;
}

static int store(struct buffer *ret, const void *p, uint64_t size, struct error *err)
{
    int r = buffer_append(ret, p, (size_t)size);
    return r < 0 ? error_errno(err, -r, DEVICE) : 0;
}

static int read_token(const struct tsi_ops *ops, int fd, size_t size, struct buffer *ret,
                      struct error *err)
{
    uint8_t token[TSI_TOKEN_MAX];
    size_t at = 0;
    for (int i = 0; at < size && i < READS_MAX; i++) {
        ssize_t n = ops->read(ops->arg, fd, token + at, size - at);
        if (n < 0 && errno != EINTR)
            return error_errno(err, errno, DEVICE ": reading the token");
        if (n == 0)
            break;
        at += n > 0 ? (size_t)n : 0;
    }
    if (at != size)
        return error_set(err, EPROTO, DEVICE ": token of %zu bytes ended after %zu", size, at);
    return store(ret, token, size, err);
}

static int get_token_old(const struct tsi_ops *ops, int fd, const uint8_t *challenge,
                         struct buffer *ret, struct error *err)
{
    struct tsi_token_old q = {0};
    memcpy(q.challenge, challenge, sizeof(q.challenge));
    if (ops->ioctl(ops->arg, fd, TSI_GET_TOKEN_OLD, &q) < 0)
        return error_errno(err, errno, DEVICE ": asking for a token");
    int r = check_size(q.token_size, TSI_TOKEN_MAX, "token", err);
    return r < 0 ? r : read_token(ops, fd, (size_t)q.token_size, ret, err);
}

static int get_token(const struct tsi_ops *ops, int fd, const uint8_t *challenge,
                     struct buffer *ret, struct error *err)
{
    struct tsi_token q = {0};
    memcpy(q.challenge, challenge, sizeof(q.challenge));
    if (ops->ioctl(ops->arg, fd, TSI_GET_TOKEN, &q) < 0) {
        /* The size is part of the number, so older drivers do not know it. */
        if (errno == ENOTTY || errno == EINVAL)
            return get_token_old(ops, fd, challenge, ret, err);
        return error_errno(err, errno, DEVICE ": asking for a token");
    }
    int r = check_size(q.token_size, sizeof(q.token), "token", err);
    return r < 0 ? r : store(ret, q.token, q.token_size, err);
}

static int get_certificate(const struct tsi_ops *ops, int fd, struct buffer *ret, struct error *err)
{
    struct tsi_certificate q = {.size = sizeof(q.value)};
    if (ops->ioctl(ops->arg, fd, TSI_GET_CERTIFICATE, &q) < 0)
        return error_errno(err, errno, DEVICE ": asking for the device certificate");
    int r = check_size(q.size, sizeof(q.value), "device certificate", err);
    return r < 0 ? r : store(ret, q.value, q.size, err);
}

int tsi_collect(const struct tsi_ops *ops, const uint8_t challenge[CHALLENGE_SIZE],
                struct buffer *token, struct buffer *certificate, struct error *err)
{
    int fd = ops->open(ops->arg);
    if (fd < 0)
        return error_errno(err, errno, DEVICE);
    _buffer_ struct buffer t = {.max = TSI_TOKEN_MAX};
    _buffer_ struct buffer c = {.max = TSI_CERTIFICATE_MAX};
    int r = get_token(ops, fd, challenge, &t, err);
    if (r == 0)
        r = get_certificate(ops, fd, &c, err);
    ops->close(ops->arg, fd);
    if (r < 0)
        return r;
    *token = t;
    *certificate = c;
    t = c = (struct buffer){0};
    return 0;
}

/* ---- the device ---- */
static int device_open(void *arg)
{
    (void)arg;
    return open(DEVICE, O_RDWR | O_CLOEXEC);
}

static int device_ioctl(void *arg, int fd, unsigned long request, void *data)
{
    (void)arg;
    return ioctl(fd, request, data);
}

static ssize_t device_read(void *arg, int fd, void *p, size_t n)
{
    (void)arg;
    return read(fd, p, n);
}

static void device_close(void *arg, int fd)
{
    (void)arg;
    close(fd);
}

static bool present(void)
{
    return access(DEVICE, F_OK) == 0;
}

static int collect(struct evidence *ret, const uint8_t challenge[CHALLENGE_SIZE], struct error *err)
{
    static const struct tsi_ops device = {
        .open = device_open, .ioctl = device_ioctl, .read = device_read, .close = device_close};
    int r = tsi_collect(&device, challenge, &ret->token, &ret->certificate, err);
    if (r < 0)
        return r;
    snprintf(ret->platform, sizeof(ret->platform), VIRTCCA_PLATFORM);
    ret->log_format = EVENT_LOG_CCEL;
    /* Without a log the evidence is sent all the same: it is the broker that rejects, and says
     * why. */
    r = read_file(CCEL_DATA, EVIDENCE_EVENT_LOG_MAX, &ret->event_log, err);
    return r == -ENOENT ? 0 : r;
}

const struct platform_attester attester_tsi = {
    .name = VIRTCCA_PLATFORM,
    .title = "virtCCA (" DEVICE ")",
    .present = present,
    .collect = collect,
};

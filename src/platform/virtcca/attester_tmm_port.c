#include "platform/virtcca/attester.h"

#include "base/io.h"
#include "crypto/tls.h"
#include "protocol/tmm_port.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#define PORTS "/sys/class/virtio-ports"
#define TCG2_LOG "/sys/kernel/security/tpm0/binary_bios_measurements"
#define TIME_LIMIT SECONDS(10)
#define PAUSE_MS 20

/* ---- the protocol ---- */
/* Wait until the port may be ready. A port whose other end is closed is "ready" all the time. */
static int await(int fd, short events, uint64_t deadline, struct error *err)
{
    uint64_t now = clock_now();
    if (now >= deadline)
        return error_set(err, ETIMEDOUT, "the software TMM does not answer");
    struct pollfd p = {.fd = fd, .events = events};
    uint64_t ms = (deadline - now) / 1000000 + 1;
    if (poll(&p, 1, ms > 1000 ? 1000 : (int)ms) > 0 && (p.revents & (POLLHUP | POLLERR)))
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    return 0;
}

static int port_write(int fd, const uint8_t *p, size_t n, uint64_t deadline, struct error *err)
{
    while (n > 0) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno != EAGAIN && errno != EINTR)
            return error_errno(err, errno, "the software TMM's port");
        if (w > 0) {
            p += w;
            n -= (size_t)w;
            continue;
        }
        int r = await(fd, POLLOUT, deadline, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int port_read(int fd, uint8_t *p, size_t n, uint64_t deadline, struct error *err)
{
    while (n > 0) {
        ssize_t got = read(fd, p, n);
        if (got < 0 && errno != EAGAIN && errno != EINTR && errno != EPIPE)
            return error_errno(err, errno, "the software TMM's port");
        if (got > 0) {
            p += got;
            n -= (size_t)got;
            continue;
        }
        int r = await(fd, POLLIN, deadline, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* What an exchange that was broken off has left behind. */
static void discard_input(int fd)
{
    uint8_t scratch[4096];
    for (int i = 0; i < 64 && read(fd, scratch, sizeof(scratch)) > 0; i++)
        ;
}

static int find_magic(int fd, uint64_t deadline, struct error *err)
{
    uint8_t window[4] = {0};
    while (memcmp(window, TMM_ANSWER_MAGIC, 4) != 0) {
        memmove(window, window + 1, 3);
        int r = port_read(fd, window + 3, 1, deadline, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_part(int fd, size_t size, uint64_t deadline, struct buffer *ret, struct error *err)
{
    int r = buffer_reserve(ret, size);
    if (r < 0)
        return error_errno(err, -r, "the software TMM's answer");
    r = port_read(fd, ret->data, size, deadline, err);
    if (r == 0)
        ret->size = size;
    return r;
}

static int read_answer(int fd, uint64_t deadline, struct buffer *token, struct buffer *certificate,
                       struct error *err)
{
    uint8_t header[12];
    int r;
    if ((r = find_magic(fd, deadline, err)) < 0 ||
        (r = port_read(fd, header, sizeof(header), deadline, err)) < 0)
        return r;
    struct reader h = reader_of(BYTES_OF(header));
    uint32_t status = read_le32(&h);
    uint32_t token_size = read_le32(&h);
    uint32_t certificate_size = read_le32(&h);
    if (status)
        return error_set(err, EIO, "the software TMM refused to issue a token (error %u)", status);
    if (token_size == 0 || token_size > TMM_TOKEN_MAX || certificate_size > TMM_CERTIFICATE_MAX)
        return error_set(err, EPROTO, "the software TMM's answer has impossible sizes (%u, %u)",
                         token_size, certificate_size);
    if ((r = read_part(fd, token_size, deadline, token, err)) < 0)
        return r;
    return read_part(fd, certificate_size, deadline, certificate, err);
}

int tmm_port_exchange(int fd, const uint8_t challenge[CHALLENGE_SIZE], uint64_t deadline,
                      struct buffer *token, struct buffer *certificate, struct error *err)
{
    uint8_t request[8 + CHALLENGE_SIZE];
    memcpy(request, TMM_REQUEST_MAGIC, 4);
    put_le32(request + 4, CHALLENGE_SIZE);
    memcpy(request + 8, challenge, CHALLENGE_SIZE);
    _buffer_ struct buffer t = {.max = TMM_TOKEN_MAX};
    _buffer_ struct buffer c = {.max = TMM_CERTIFICATE_MAX};
    int r;
    discard_input(fd);
    if ((r = port_write(fd, request, sizeof(request), deadline, err)) < 0 ||
        (r = read_answer(fd, deadline, &t, &c, err)) < 0)
        return r;
    *token = t;
    *certificate = c;
    t = c = (struct buffer){0};
    return 0;
}

/* ---- the port ---- */
static bool is_ours(const char *port)
{
    char path[256];
    snprintf(path, sizeof(path), PORTS "/%s/name", port);
    _buffer_ struct buffer name = {.max = 128};
    return read_file(path, name.max, &name, NULL) == 0 &&
           bytes_equal(buffer_bytes(&name), BYTES_STR(TMM_PORT_NAME "\n"));
}

static bool find_port(char *ret, size_t size)
{
    DIR *dir = opendir(PORTS);
    if (!dir)
        return false;
    bool found = false;
    const struct dirent *e;
    while (!found && (e = readdir(dir)))
        if (e->d_name[0] != '.' && is_ours(e->d_name)) {
            int n = snprintf(ret, size, "/dev/%s", e->d_name);
            found = n > 0 && (size_t)n < size;
        }
    closedir(dir);
    return found;
}

static bool present(void)
{
    char path[64];
    return find_port(path, sizeof(path));
}

static int collect(struct evidence *ret, const uint8_t challenge[CHALLENGE_SIZE], struct error *err)
{
    char path[64];
    if (!find_port(path, sizeof(path)))
        return error_set(err, ENODEV, "the software TMM's port is gone");
    _close_ int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "%s", path);
    int r = tmm_port_exchange(fd, challenge, clock_now() + TIME_LIMIT, &ret->token,
                              &ret->certificate, err);
    if (r < 0)
        return r;
    snprintf(ret->platform, sizeof(ret->platform), VIRTCCA_PLATFORM);
    ret->log_format = EVENT_LOG_TCG2;
    r = read_file(TCG2_LOG, EVIDENCE_EVENT_LOG_MAX, &ret->event_log, err);
    return r == -ENOENT ? 0 : r; /* the broker rejects evidence without a log, and says why */
}

const struct platform_attester attester_tmm_port = {
    .name = VIRTCCA_PLATFORM,
    .title = "the software TMM (development only)",
    .present = present,
    .collect = collect,
};

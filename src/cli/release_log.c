#include "cli/release_log.h"
#include "base/hex.h"
#include "base/io.h"
#include "base/json.h"

#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

static int make_line(struct buffer *ret, const struct release_record *r, struct bytes evidence,
                     const char *peer, struct error *err)
{
    struct digest d;
    char volume[UUID_TEXT_SIZE], hash[DIGEST_HEX_SIZE], now[32];
    struct tm tm;
    time_t t = time(NULL);
    if (!gmtime_r(&t, &tm) || !strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", &tm) ||
        digest_compute(&d, HASH_SHA256, evidence) < 0)
        return error_set(err, EIO, "making a line of the log");
    digest_hex(&d, hash);
    if (r->evidence)
        uuid_format(r->evidence->volume, volume);
    const struct finding *why = findings_first_reject(r->findings);
    _json_ json_t *o = json_pack(
        "{s:s, s:s, s:s*, s:s, s:s, s:s*, s:s*}", "time", now, "id", r->id, "volume",
        r->evidence ? volume : NULL, "peer", peer, "verdict", r->granted ? "granted" : "denied",
        "evidence_sha256", r->evidence ? hash : NULL, "first_reject", why ? why->check : NULL);
    _free_ char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    if (!text || buffer_printf(ret, "%s\n", text) < 0)
        return error_set(err, ENOMEM, "out of memory");
    return 0;
}

/* A new file is not durable before its name is. */
static int sync_folder(const char *path)
{
    _free_ char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    _close_ int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* As a crash in the middle of a line leaves it: it must not swallow the next one. */
static bool ends_within_a_line(int fd, off_t size)
{
    char last = '\n';
    return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

static int append(int fd, struct bytes line)
{
    struct stat st;
    if (flock(fd, LOCK_EX) < 0 || fstat(fd, &st) < 0)
        return -errno;
    int r = ends_within_a_line(fd, st.st_size) ? write_exact(fd, "\n", 1) : 0;
    if (r == 0)
        r = write_exact(fd, line.data, line.size);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    /* Half a line, as a full disk leaves it, would spoil the next one. */
    if (r < 0 && ftruncate(fd, st.st_size) < 0)
        return r;
    return r;
}

int release_log_append(const char *path, const struct release_record *r, struct bytes evidence,
                       const char *peer, struct error *err)
{
    _buffer_ struct buffer line = {0};
    int n = make_line(&line, r, evidence, peer, err);
    if (n < 0)
        return n;
    _close_ int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return error_errno(err, errno, "%s", path);
    n = append(fd, buffer_bytes(&line));
    if (n == 0)
        n = sync_folder(path);
    return n < 0 ? error_errno(err, -n, "%s", path) : 0;
}

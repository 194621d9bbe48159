#include "daemon/setup.h"
#include "base/io.h"

#include <fcntl.h>
#include <sys/mman.h>

/* Processes read the text that the supervisor read, even if the file is another by then. */
static int keep_text(struct bytes text, int *ret, struct error *err)
{
    static const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    _close_ int fd = memfd_create("encrootd.conf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return error_errno(err, errno, "memfd_create");
    int r = write_exact(fd, text.data, text.size);
    if (r == 0 && fcntl(fd, F_ADD_SEALS, seals) < 0)
        r = -errno;
    if (r < 0)
        return error_errno(err, -r, "keeping the configuration");
    *ret = TAKE_FD(fd);
    return 0;
}

static int keep_texts(struct setup *s, struct bytes text, struct error *err)
{
    _buffer_ struct buffer open = {0};
    int r = config_public_text(text, &open, err);
    if (r == 0)
        r = keep_text(buffer_bytes(&open), &s->public_fd, err);
    return r < 0 ? r : keep_text(text, &s->config_fd, err);
}

int setup_load(struct setup *ret, const char *path, const struct setup *old, struct error *err)
{
    struct setup s = SETUP_NONE;
    _buffer_ struct buffer text = {0};
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        const char *hint =
            errno == EACCES
                ? "the user whom encrootd runs as must be able to read it: encrootd(8), SERVICE"
                : "`encroot init` makes a configuration; -c FILE names another";
        return error_hint(err, error_errno(err, errno, "%s", path), "%s", hint);
    }
    int r = process_config(&s.config, fd, path, &text, err);
    if (r < 0)
        return r;
    r = keep_texts(&s, buffer_bytes(&text), err);
    if (r == 0)
        r = listeners_open(&s.listeners, &s.config, old ? &old->listeners : NULL, err);
    if (r < 0) {
        setup_free(&s, old);
        return r;
    }
    *ret = s;
    return 0;
}

void setup_free(struct setup *s, const struct setup *successor)
{
    listeners_close(&s->listeners, successor ? &successor->listeners : NULL);
    config_free(&s->config);
    cleanup_close(&s->config_fd);
    cleanup_close(&s->public_fd);
    *s = SETUP_NONE;
}

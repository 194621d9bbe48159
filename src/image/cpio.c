#include "image/cpio.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

struct header {
    unsigned inode, mode, links, size, major, minor;
};

static int pad(struct cpio *c)
{
    static const char zeros[4];
    return buffer_append(c->out, zeros, (4 - c->out->size % 4) % 4);
}

static int put(struct cpio *c, const char *name, const struct header *h, struct bytes content)
{
    int r = buffer_printf(c->out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
                          h->inode, h->mode, 0u, 0u, h->links, 0u, h->size, 0u, 0u, h->major,
                          h->minor, (unsigned)strlen(name) + 1, 0u);
    if (r == 0)
        r = buffer_append(c->out, name, strlen(name) + 1);
    if (r == 0)
        r = pad(c);
    if (r == 0)
        r = buffer_append(c->out, content.data, content.size);
    return r < 0 ? r : pad(c);
}

static const char *relative(const char *path)
{
    return path[0] == '/' ? path + 1 : path;
}

int cpio_folder(struct cpio *c, const char *path)
{
    struct header h = {.inode = ++c->files, .mode = S_IFDIR | 0755, .links = 2};
    return put(c, relative(path), &h, BYTES_NONE);
}

int cpio_file(struct cpio *c, const char *path, unsigned mode, struct bytes content)
{
    if (content.size > UINT32_MAX)
        return -EFBIG;
    struct header h = {
        .inode = ++c->files, .mode = S_IFREG | mode, .links = 1, .size = (unsigned)content.size};
    return put(c, relative(path), &h, content);
}

int cpio_chardev(struct cpio *c, const char *path, unsigned mode, unsigned major, unsigned minor)
{
    struct header h = {
        .inode = ++c->files, .mode = S_IFCHR | mode, .links = 1, .major = major, .minor = minor};
    return put(c, relative(path), &h, BYTES_NONE);
}

int cpio_end(struct cpio *c)
{
    struct header h = {.links = 1};
    return put(c, "TRAILER!!!", &h, BYTES_NONE);
}

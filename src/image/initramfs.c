#include "image/initramfs.h"
#include "image/cpio.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define ZSTD_LEVEL 7 /* beyond it, much more time for one or two percent */

static bool config_has(struct bytes config, const char *line)
{
    if (!config.data)
        return false;
    const uint8_t *found = memmem(config.data, config.size, line, strlen(line));
    return found && (found == config.data || found[-1] == '\n');
}

enum initramfs_compression initramfs_compression_for(struct bytes kernel_config)
{
    if (kernel_config.size == 0)
        return INITRAMFS_GZIP;
    if (config_has(kernel_config, "CONFIG_RD_ZSTD=y\n"))
        return INITRAMFS_ZSTD;
    return config_has(kernel_config, "CONFIG_RD_GZIP=y\n") ? INITRAMFS_GZIP : INITRAMFS_PLAIN;
}

static int put_files(struct cpio *c, const struct initramfs_content *in, struct bytes config)
{
    static const char *const folders[] = {"/dev", "/etc",         "/etc/encroot",
                                          "/lib", "/lib/modules", "/proc",
                                          "/run", "/sys",         "/sysroot"};
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(folders); i++)
        r = cpio_folder(c, folders[i]);
    /* The kernel opens it for init before init can mount devtmpfs. */
    if (r == 0)
        r = cpio_chardev(c, "/dev/console", 0600, 5, 1);
    if (r == 0)
        r = cpio_file(c, "/init", 0755, in->agent);
    if (r == 0)
        r = cpio_file(c, AGENT_CONFIG_PATH, 0600, config);
    for (size_t i = 0; r == 0 && i < in->module_count; i++)
        r = cpio_file(c, in->modules[i].path, 0644, in->modules[i].content);
    return r < 0 ? r : cpio_end(c);
}

static int compress_zstd(struct buffer *ret, struct bytes in)
{
    size_t bound = ZSTD_compressBound(in.size);
    int r = buffer_reserve(ret, bound);
    if (r < 0)
        return r;
    size_t n = ZSTD_compress(ret->data + ret->size, bound, in.data, in.size, ZSTD_LEVEL);
    if (ZSTD_isError(n))
        return -EIO;
    ret->size += n;
    return 0;
}

static int compress_gzip(struct buffer *ret, struct bytes in)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in.data, .avail_in = (uInt)in.size};
    /* 16: a gzip header, in which zlib writes neither name nor time. */
    if (deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return -ENOMEM;
    size_t bound = deflateBound(&z, in.size);
    int r = buffer_reserve(ret, bound);
    if (r == 0) {
        z.next_out = ret->data + ret->size;
        z.avail_out = (uInt)bound;
        r = deflate(&z, Z_FINISH) == Z_STREAM_END ? 0 : -EIO;
        ret->size += r == 0 ? z.total_out : 0;
    }
    deflateEnd(&z);
    return r;
}

static int pack(struct buffer *ret, struct bytes in, enum initramfs_compression how)
{
    if (how == INITRAMFS_ZSTD)
        return compress_zstd(ret, in);
    return how == INITRAMFS_GZIP ? compress_gzip(ret, in) : buffer_append(ret, in.data, in.size);
}

int initramfs_make(struct buffer *ret, const struct initramfs_content *c, struct error *err)
{
    _buffer_ struct buffer config = {0};
    _buffer_ struct buffer archive = {.max = INITRAMFS_MAX};
    int r = agent_config_format(c->config, &config, err);
    if (r < 0)
        return r;
    struct cpio cpio = {.out = &archive};
    r = put_files(&cpio, c, buffer_bytes(&config));
    if (r == 0)
        r = pack(ret, buffer_bytes(&archive), c->compression);
    return r < 0 ? error_errno(err, -r, "initramfs") : 0;
}

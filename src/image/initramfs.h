/* The initramfs: the agent as /init, its modules, its configuration, and nothing else. */
#ifndef ENCROOT_IMAGE_INITRAMFS_H
#define ENCROOT_IMAGE_INITRAMFS_H

#include "base/bytes.h"
#include "base/error.h"
#include "protocol/agent_config.h"

#define INITRAMFS_MAX ((size_t)256 << 20)

enum initramfs_compression { INITRAMFS_PLAIN, INITRAMFS_GZIP, INITRAMFS_ZSTD };

/* What a kernel can unpack, by its configuration file (CONFIG_RD_*); no text: gzip. */
enum initramfs_compression initramfs_compression_for(struct bytes kernel_config);

struct initramfs_module {
    const char *path;
    struct bytes content;
};

struct initramfs_content {
    struct bytes agent;
    const struct agent_config *config;
    const struct initramfs_module *modules;
    size_t module_count;
    enum initramfs_compression compression;
};

/* Appends to `ret`. The same content gives the same bytes. */
int initramfs_make(struct buffer *ret, const struct initramfs_content *c,
                   struct error *err) _must_use_;

#endif

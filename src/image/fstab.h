/* The guest's /etc/fstab (fstab(5)): which filesystem is mounted where. */
#ifndef ENCROOT_IMAGE_FSTAB_H
#define ENCROOT_IMAGE_FSTAB_H

#include "base/bytes.h"
#include "base/error.h"

#define FSTAB_MAX ((size_t)64 << 10)

struct fstab_entry {
    char *source; /* "UUID=…", "/dev/vda1"; escapes and quotes resolved */
    char *target;
    char *type;
    char *options;
};

struct fstab {
    struct fstab_entry *entries;
    size_t count;
};

/* Lines that are not entries are skipped, as mount does; only a lack of memory fails. */
int fstab_parse(struct fstab *ret, struct bytes text, struct error *err) _must_use_;
void fstab_free(struct fstab *t);
#define _fstab_ _cleanup_(fstab_free)

/* The first entry with this mount point, or NULL. A trailing slash does not count. */
const struct fstab_entry *fstab_find(const struct fstab *t, const char *target);

#endif

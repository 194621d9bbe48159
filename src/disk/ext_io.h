/* What libext2fs reads and writes through: a block device, behind a small cache. */
#ifndef ENCROOT_DISK_EXT_IO_H
#define ENCROOT_DISK_EXT_IO_H

#include "disk/blockdev.h"

#include <ext2fs/ext2fs.h>

/*
 * ext2fs_open2 on `d`, which must outlive it. libext2fs has only numbers for errors: the text of a
 * failed read or write is put into `io_error`, which must live as long too.
 */
errcode_t ext_io_open(ext2_filsys *ret, struct blockdev *d, int flags, struct error *io_error);

#endif

/* The disk of fuzz-partition: an input is its beginning, the rest of it is zeros. */
#ifndef ENCROOT_TESTS_FUZZ_DISK_H
#define ENCROOT_TESTS_FUZZ_DISK_H

#define FUZZ_DISK_SIZE (128 * 512)
#define FUZZ_DISK_HEAD (34 * 512) /* MBR, GPT header, 128 entries */

#endif

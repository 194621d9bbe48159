/* The files of this folder, as the build puts them into the program (tools/embed). */
#ifndef ENCROOT_DAEMON_PAGE_H
#define ENCROOT_DAEMON_PAGE_H

#include <stddef.h>

struct embedded_file {
    const char *name;
    const unsigned char *data;
    size_t size;
};

extern const struct embedded_file page_files[];
extern const size_t page_file_count;

#endif

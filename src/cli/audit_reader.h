/*
 * Reading DIR/audit.log (cli/audit_file.h) from the first line to the last, in bounded memory,
 * however long it is. What is appended after audit_reader_open() is not seen.
 */
#ifndef ENCROOT_CLI_AUDIT_READER_H
#define ENCROOT_CLI_AUDIT_READER_H

#include "broker/audit.h"

struct audit_reader {
    /* the line that audit_reader_next() came to */
    uint64_t line;              /* from 1 */
    struct bytes text;          /* without its end; of a longer line, AUDIT_RECORD_MAX + 1 bytes */
    struct audit_record record; /* record.json is NULL if the line is none */
    struct error problem;       /* why it does not continue the chain; text is "" if it does */
    /* all lines so far */
    struct audit_state state; /* after the last line that is a record, whatever it says */
    uint64_t records;
    struct error broken; /* the first problem; text is "" if there is none */
    /* its own */
    const char *path;
    FILE *file;
    uint64_t left; /* bytes */
    uint8_t *buffer;
};

int audit_reader_open(struct audit_reader *ret, const char *path, struct error *err) _must_use_;
/* 1: a line; 0: the end; or a negative errno, if the file cannot be read. */
int audit_reader_next(struct audit_reader *a, struct error *err) _must_use_;
void audit_reader_close(struct audit_reader *a);
#define _audit_reader_ _cleanup_(audit_reader_close)

#endif

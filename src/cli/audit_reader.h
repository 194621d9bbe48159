/*
 * Reading DIR/audit.log (cli/audit_file.h), or the records of a broker, from the first line to the
 * last, in bounded memory, however many there are. What is appended after it was opened is not
 * seen.
 */
#ifndef ENCROOT_CLI_AUDIT_READER_H
#define ENCROOT_CLI_AUDIT_READER_H

#include "broker/audit.h"
#include "cli/audit_pages.h"

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
    const char *path;         /* of the file, or the broker's address */
    struct audit_pages pages; /* a broker's */
    struct bytes columns;     /* of a broker: what it keeps beside the record */
    FILE *file;               /* else */
    uint64_t left;            /* bytes */
    uint8_t *buffer;
};

int audit_reader_open(struct audit_reader *ret, const char *path, struct error *err) _must_use_;
/* The last `count` records of a broker (0: all; otherwise what the first follows is not known).
 * `c` must outlive it. */
int audit_reader_open_broker(struct audit_reader *ret, const struct admin_client *c, uint64_t count,
                             struct error *err) _must_use_;
/* 1: a line; 0: the end; or a negative errno, if the file cannot be read. */
int audit_reader_next(struct audit_reader *a, struct error *err) _must_use_;
void audit_reader_close(struct audit_reader *a);
#define _audit_reader_ _cleanup_(audit_reader_close)

#endif

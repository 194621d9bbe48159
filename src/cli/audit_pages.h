/*
 * The records of a broker, page by page (GET /v1/audit), from some record to the one that was the
 * last at the time of audit_pages_open(), each behind what the store keeps beside it
 * (cli/audit_columns.h). What they say is for audit_reader to judge.
 */
#ifndef ENCROOT_CLI_AUDIT_PAGES_H
#define ENCROOT_CLI_AUDIT_PAGES_H

#include "broker/audit.h"
#include "cli/admin_client.h"

struct audit_pages {
    const struct admin_client *client; /* NULL: not in use */
    uint64_t first, end;               /* sequences: of the first, and of the last there is */
    uint64_t after;                    /* the page begins behind this one */
    struct buffer text;                /* a page */
    size_t at;
};

/* The last `count` records; 0: all. `c` must outlive it. */
int audit_pages_open(struct audit_pages *ret, const struct admin_client *c, uint64_t count,
                     struct error *err) _must_use_;
/* `sequence`: of the record before; 0 at the first. 1: a record and its columns, valid until the
 * next call; 0: the end, or the broker gives no more records although it said that there are more.
 */
int audit_pages_next(struct audit_pages *p, uint64_t sequence, struct bytes *ret_columns,
                     struct bytes *ret, struct error *err) _must_use_;
void audit_pages_close(struct audit_pages *p);

#endif

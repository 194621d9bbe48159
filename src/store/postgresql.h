/*
 * What the files of the PostgreSQL driver share. libpq is called in its asynchronous form only, and
 * each wait ends at the deadline: a server that does not answer (stopped, or behind a network that
 * is gone) holds nobody up. After that the connection is useless, and is closed.
 */
#ifndef ENCROOT_STORE_POSTGRESQL_H
#define ENCROOT_STORE_POSTGRESQL_H

#include "store/db.h"

#include <libpq-fe.h>

struct postgresql {
    struct db db;
    char *url;
    char *password_file; /* NULL: none */
    bool local;          /* a socket of this machine, or a loopback address */
    PGconn *connection;  /* NULL: none */
    bool prepared[STATEMENT_COUNT];
    size_t posted;     /* bytes of statements whose results nobody has read */
    uint64_t retry_at; /* milliseconds as db_now: until then nobody tries to connect */
    unsigned pause;    /* milliseconds that the last failure to connect made us wait */
    char failure[512]; /* what it was */
};

static inline struct postgresql *postgresql_of(struct db *db)
{
    return (struct postgresql *)db;
}

/* Is it a URL that libpq reads (34.1.1.2) and that means what it seems to? Fills db.name, without a
 * password, and `local`. */
int postgresql_read_url(struct postgresql *p, struct error *err) _must_use_;

int postgresql_connect(struct db *db, struct error *err) _must_use_;
void postgresql_disconnect(struct db *db);

/* Before statements are sent that postgresql_results is to wait for (libpq, 34.5). */
int postgresql_pipeline(struct postgresql *p, struct error *err) _must_use_;
/* Wait for the results of all that was sent in the pipeline: the first that is an error, or else
 * the last one, which is `*ret` (may be NULL), to be cleared. */
int postgresql_results(struct postgresql *p, PGresult **ret, struct error *err) _must_use_;
/* Statements without parameters, in the simple protocol, with nothing in the pipeline; `ret` as
 * above. */
int postgresql_query(struct postgresql *p, const char *sql, PGresult **ret,
                     struct error *err) _must_use_;

static inline void cleanup_result(PGresult **r)
{
    PQclear(*r);
}
#define _result_ _cleanup_(cleanup_result)

#endif

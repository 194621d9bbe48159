/*
 * The little that the store asks of a database, and the two drivers that give it. A driver is one
 * connection; statements are those of store/statements.h, prepared once per connection.
 */
#ifndef ENCROOT_STORE_DB_H
#define ENCROOT_STORE_DB_H

#include "base/bytes.h"
#include "base/error.h"
#include "store/statements.h"
#include "store/store.h"

#include <string.h>

#define DB_COLUMNS_MAX 16 /* of parameters, too */

/* A parameter or a column; which member counts is said by the statement. */
struct db_value {
    bool null;
    int64_t integer;
    struct bytes bytes; /* text has no NUL behind it */
};
static inline struct db_value db_int(int64_t v)
{
    return (struct db_value){.integer = v};
}
static inline struct db_value db_bytes(struct bytes v)
{
    return (struct db_value){.bytes = v};
}
static inline struct db_value db_text(const char *v)
{
    return db_bytes(BYTES_STR(v));
}
#define DB_NULL ((struct db_value){.null = true})

/* Called for each row, whose bytes are there during the call only. Negative: no more. */
typedef int db_row(void *arg, const struct db_value *columns, struct error *err);

struct db {
    const struct db_driver *driver;
    char *name;        /* for errors: no password in it */
    uint64_t deadline; /* of the present call; milliseconds of CLOCK_MONOTONIC */
    unsigned patience; /* milliseconds */
};

enum db_dialect { DB_SQLITE, DB_POSTGRESQL, DB_DIALECTS };

/*
 * Every function ends by db->deadline, and says -EHOSTDOWN for what may pass. Errors begin with
 * db->name. After any error but those of `open` the transaction, if there was one, is to be rolled
 * back.
 */
struct db_driver {
    const char *scheme; /* "sqlite:" */
    enum db_dialect dialect;
    /* Reads the URL, connects to nothing. The store fills `driver` and `patience` in. -EINVAL. */
    int (*open)(struct db **ret, const char *url, const struct store_options *o, struct error *err);
    void (*close)(struct db *db);
    /* Outside of a transaction: 0 if the connection is good, 1 if it is a new one, whose schema
     * nobody has looked at. */
    int (*connect)(struct db *db, struct error *err);
    void (*disconnect)(struct db *db);
    /* Begin as the only writer. */
    int (*begin)(struct db *db, struct error *err);
    int (*commit)(struct db *db, struct error *err);
    void (*rollback)(struct db *db);
    /* How many rows came, or, of a statement without columns, were changed. `row` may be NULL. */
    int (*run)(struct db *db, enum statement n, const struct db_value *parameters, db_row *row,
               void *arg, struct error *err);
    /* As `run` of a statement without columns, in a transaction; but what became of it is learned
     * by a later call, `commit` at the latest. Saves waiting for the answer. */
    int (*post)(struct db *db, enum statement n, const struct db_value *parameters,
                struct error *err);
    /* Statements without parameters or results. */
    int (*script)(struct db *db, const char *sql, struct error *err);
    /* The schema's version; 0 in an empty database. */
    int (*version)(struct db *db, int64_t *ret, struct error *err);
    int (*set_version)(struct db *db, int64_t version, struct error *err);
};
extern const struct db_driver db_sqlite, db_postgresql;

uint64_t db_now(void); /* milliseconds of CLOCK_MONOTONIC */
/* Milliseconds until the deadline, 0 if it has passed. */
unsigned db_left(const struct db *db);

#endif

/*
 * The schema, as the steps that lead to it. Its version is kept in the database: PRAGMA
 * user_version of SQLite, a table of one row in PostgreSQL.
 */
#ifndef ENCROOT_STORE_MIGRATIONS_H
#define ENCROOT_STORE_MIGRATIONS_H

#include "store/db.h"

/*
 * Bring the schema to STORE_SCHEMA, each step in a transaction of its own, as the only writer; or,
 * without `migrate`, see that it is there. -EPROTONOSUPPORT for a newer one, or an older one
 * without `migrate`.
 */
int migrations_apply(struct db *db, bool migrate, struct error *err) _must_use_;

#endif

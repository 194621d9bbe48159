#include "store/migrations.h"

#include <inttypes.h>

/*
 * Version 1. Names compare byte by byte in both databases. What nobody but its author reads
 * (policies, reference values, records) is bytes, so that it comes back exactly; times are seconds
 * since 1970. Evidence is apart from records because it goes earlier, and policies from volumes
 * because they are large.
 */
#define VERSION_1(INT, TEXT, BYTES, END)                                                           \
    "CREATE TABLE volume ("                                                                        \
    "uuid " BYTES " NOT NULL PRIMARY KEY CHECK (length(uuid) = 16), "                              \
    "name " TEXT " NOT NULL UNIQUE, "                                                              \
    "enabled " INT " NOT NULL, approval " INT " NOT NULL, "                                        \
    "rate_count " INT " NOT NULL, rate_seconds " INT " NOT NULL, "                                 \
    "not_before " INT " NOT NULL, not_after " INT " NOT NULL, "                                    \
    "revision " INT " NOT NULL, values_version " INT " NOT NULL, "                                 \
    "created " INT " NOT NULL, changed " INT " NOT NULL, "                                         \
    "wrapped " BYTES " NOT NULL)" END ";"                                                          \
    "CREATE TABLE policy ("                                                                        \
    "volume " BYTES " NOT NULL PRIMARY KEY REFERENCES volume ON DELETE CASCADE, "                  \
    "policy " BYTES " NOT NULL, effective " BYTES " NOT NULL)" END ";"                             \
    "CREATE TABLE reference_values ("                                                              \
    "volume " BYTES " NOT NULL REFERENCES volume ON DELETE CASCADE, "                              \
    "version " INT " NOT NULL, valid " INT " NOT NULL, created " INT " NOT NULL, "                 \
    "label " TEXT " NOT NULL, text " BYTES " NOT NULL, "                                           \
    "PRIMARY KEY (volume, version))" END ";"                                                       \
    "CREATE TABLE request ("                                                                       \
    "id " TEXT " NOT NULL PRIMARY KEY, "                                                           \
    "volume " BYTES " NOT NULL REFERENCES volume ON DELETE CASCADE, "                              \
    "attester " BYTES " NOT NULL CHECK (length(attester) = 32), "                                  \
    "state " INT " NOT NULL, peer " TEXT " NOT NULL, "                                             \
    "created " INT " NOT NULL, seen " INT " NOT NULL, expires " INT " NOT NULL, "                  \
    "count " INT " NOT NULL, decided_by " TEXT " NOT NULL)" END ";"                                \
    "CREATE INDEX request_attester ON request (volume, attester, created);"                        \
    "CREATE INDEX request_expires ON request (expires);"                                           \
    "CREATE INDEX request_created ON request (created, id);"                                       \
    "CREATE TABLE audit ("                                                                         \
    "sequence " INT " NOT NULL PRIMARY KEY CHECK (sequence > 0), "                                 \
    "hash " BYTES " NOT NULL CHECK (length(hash) = 32), "                                          \
    "time " INT " NOT NULL, id " TEXT " NOT NULL, granted " INT " NOT NULL, "                      \
    "volume " BYTES " CHECK (length(volume) = 16), text " BYTES " NOT NULL)" END ";"               \
    "CREATE INDEX audit_id ON audit (id);"                                                         \
    "CREATE INDEX audit_volume ON audit (volume, sequence);"                                       \
    "CREATE INDEX audit_granted ON audit (volume, time) WHERE granted = 1;"                        \
    "CREATE TABLE evidence ("                                                                      \
    "sequence " INT " NOT NULL PRIMARY KEY REFERENCES audit ON DELETE CASCADE, "                   \
    "time " INT " NOT NULL, evidence " BYTES " NOT NULL)" END ";"                                  \
    "CREATE INDEX evidence_time ON evidence (time);"

/* Version 2: seals (vault/seal.h). What was there before has none until somebody seals it. */
#define ZEROS_8 "0000000000000000"
#define ZEROS_32 ZEROS_8 ZEROS_8 ZEROS_8 ZEROS_8
#define VERSION_2(BYTES, HEX)                                                                      \
    "ALTER TABLE volume ADD COLUMN effective_sha256 " BYTES " NOT NULL DEFAULT " HEX ZEROS_32 "';" \
    "ALTER TABLE volume ADD COLUMN sources_sha256 " BYTES " NOT NULL DEFAULT " HEX ZEROS_32 "';"   \
    "ALTER TABLE volume ADD COLUMN seal " BYTES " NOT NULL DEFAULT " HEX ZEROS_32 ZEROS_8 "';"     \
    "ALTER TABLE request ADD COLUMN seal " BYTES " NOT NULL DEFAULT " HEX ZEROS_32 ZEROS_8 "';"

/* In PostgreSQL all is in a schema of its own, which an administrator may have made. */
#define BEGIN_POSTGRESQL                                                                           \
    "DO $$ BEGIN IF to_regnamespace('encroot') IS NULL THEN CREATE SCHEMA encroot; END IF; END "   \
    "$$;"                                                                                          \
    "CREATE TABLE schema_version (one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1), "               \
    "version BIGINT NOT NULL);"                                                                    \
    "INSERT INTO schema_version VALUES (1, 0);"

#define SQLITE(step) step("INTEGER", "TEXT", "BLOB", " STRICT")
#define POSTGRESQL(step) step("BIGINT", "TEXT COLLATE \"C\"", "BYTEA", "")

/* [n] leads from version n to n + 1. */
static const char *const steps[STORE_SCHEMA][DB_DIALECTS] = {
    {[DB_SQLITE] = SQLITE(VERSION_1), [DB_POSTGRESQL] = BEGIN_POSTGRESQL POSTGRESQL(VERSION_1)},
    {[DB_SQLITE] = VERSION_2("BLOB", "x'"), [DB_POSTGRESQL] = VERSION_2("BYTEA", "'\\x")},
};

static int check(const struct db *db, int64_t version, bool migrate, struct error *err)
{
    if (version < 0 || version > STORE_SCHEMA) {
        int r = error_set(err, EPROTONOSUPPORT,
                          "%s: its schema has version %" PRId64
                          ", which is newer than this program's, %d",
                          db->name, version, STORE_SCHEMA);
        return error_hint(err, r, "install the version of encroot that the other brokers have");
    }
    if (version < STORE_SCHEMA && !migrate) {
        int r =
            version == 0
                ? error_set(err, EPROTONOSUPPORT, "%s: it is empty: it has no schema", db->name)
                : error_set(err, EPROTONOSUPPORT,
                            "%s: its schema has version %" PRId64 "; this program needs version %d",
                            db->name, version, STORE_SCHEMA);
        return error_hint(err, r, "start encrootd, which moves it forward");
    }
    return 0;
}

/* One step, as the only writer: another broker may have made it in the meantime. */
static int make_step(struct db *db, int64_t *version, struct error *err)
{
    const struct db_driver *d = db->driver;
    int r = d->begin(db, err);
    if (r == 0)
        r = d->version(db, version, err);
    if (r == 0)
        r = check(db, *version, true, err);
    if (r == 0 && *version < STORE_SCHEMA) {
        r = d->script(db, steps[*version][d->dialect], err);
        if (r == 0)
            r = d->set_version(db, ++*version, err);
    }
    if (r == 0)
        r = d->commit(db, err);
    if (r < 0)
        d->rollback(db);
    return r;
}

int migrations_apply(struct db *db, bool migrate, struct error *err)
{
    int64_t version;
    int r = db->driver->version(db, &version, err);
    if (r == 0)
        r = check(db, version, migrate, err);
    while (r == 0 && version < STORE_SCHEMA)
        r = make_step(db, &version, err);
    return r;
}

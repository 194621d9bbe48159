/* Stores of both kinds for tests, each new and empty; and changes behind their backs. */
#ifndef ENCROOT_TESTS_STORES_H
#define ENCROOT_TESTS_STORES_H

#include "unit.h"
#include "scratch.h"
#include "postgres.h"
#include "store/store.h"

#include <libpq-fe.h>
#include <sqlite3.h>

static struct postgres server;

struct kind {
    const char *name;
    const char *(*url)(void);
    void (*sql)(const char *sql); /* as somebody who has the database */
    void (*clear)(void);
};

static inline const char *sqlite_url(void)
{
    return "sqlite:store.db";
}
static inline void sqlite_sql(const char *sql)
{
    sqlite3 *db;
    char *text = NULL;
    assert_int_equal(sqlite3_open("store.db", &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    sqlite3_exec(db, "PRAGMA foreign_keys = ON", NULL, NULL, NULL);
    if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
        fail_msg("%s: %s", sql, text);
    sqlite3_close(db);
}
static inline void sqlite_clear(void)
{
    unlink("store.db");
    unlink("store.db-wal");
    unlink("store.db-shm");
}

static inline const char *postgresql_url(void)
{
    return server.url;
}
static inline void postgresql_sql(const char *sql)
{
    PGconn *c = PQconnectdb(server.url);
    PQclear(PQexec(c, "SET client_min_messages = error; SET search_path = encroot"));
    PGresult *r = PQexec(c, sql);
    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(c));
    PQclear(r);
    PQfinish(c);
}
static inline void postgresql_clear(void)
{
    postgresql_sql("DROP SCHEMA IF EXISTS encroot CASCADE");
}

static const struct kind kind_sqlite = {"sqlite", sqlite_url, sqlite_sql, sqlite_clear};
static const struct kind kind_postgresql = {"postgresql", postgresql_url, postgresql_sql,
                                            postgresql_clear};

/* What a test finds in *state. */
struct fixture {
    const struct kind *kind;
    struct store *s;
};

static inline struct store *open_store(const struct kind *kind, unsigned patience)
{
    struct error err = {0};
    struct store *s = NULL;
    const struct store_options o = {.migrate = true, .patience = patience};
    assert_ok(store_open(&s, kind->url(), &o, &err));
    return s;
}

static inline int store_set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->kind = *state;
    f->kind->clear();
    f->s = open_store(f->kind, 20000);
    *state = f;
    return 0;
}
static inline int store_tear_down(void **state)
{
    struct fixture *f = *state;
    store_close(f->s);
    free(f);
    return 0;
}

#define SQLITE(test)                                                                               \
    {                                                                                              \
        "sqlite: " #test, test, store_set_up, store_tear_down, (void *)&kind_sqlite                \
    }
#define POSTGRESQL(test)                                                                           \
    {                                                                                              \
        "postgresql: " #test, test, store_set_up, store_tear_down, (void *)&kind_postgresql        \
    }
#define BOTH(test) SQLITE(test), POSTGRESQL(test)

static inline int stores_set_up(void **state)
{
    return postgres_start(&server) == 0 ? scratch_setup(state) : -1;
}
static inline int stores_tear_down(void **state)
{
    int r = postgres_remove(&server);
    return scratch_teardown(state) == 0 ? r : -1;
}

/* ---- what is put in ---- */
#define TEXT(s)                                                                                    \
    ((struct buffer){.data = (uint8_t *)(s), .size = sizeof(s) - 1}) /* not to be freed */

static inline struct store_volume a_volume(uint8_t number, const char *name)
{
    struct store_volume v = {.enabled = true, .wrapped = TEXT("wrapped")};
    memset(v.uuid, number, sizeof(v.uuid));
    snprintf(v.name, sizeof(v.name), "%s", name);
    return v;
}

/* Record `n` of the audit, about the volume of this number (0: none). */
static inline struct store_record a_record(uint64_t n, uint8_t volume, bool granted)
{
    struct store_record r = {.sequence = n,
                             .time = (time_t)(1000 + n),
                             .granted = granted,
                             .has_volume = volume != 0,
                             .text = TEXT("{}")};
    memset(r.volume, volume, sizeof(r.volume));
    memset(r.hash, (int)n, sizeof(r.hash));
    snprintf(r.id, sizeof(r.id), "%032llx", (unsigned long long)n);
    return r;
}

/* expr gives `code`; `text` is in the error. */
#define assert_refused(expr, code, word)                                                           \
    do {                                                                                           \
        int refused_ = (expr);                                                                     \
        if (refused_ != -(code) || !strstr(err.text, word))                                        \
            fail_msg("%s: %d: %s", #expr, refused_, err.text);                                     \
    } while (0)

static inline void add_volume(struct store *s, const struct store_volume *v)
{
    struct error err = {0};
    assert_ok(store_begin(s, &err));
    assert_ok(store_volume_add(s, v, BYTES_STR("policy"), BYTES_STR("effective"), &err));
    assert_ok(store_commit(s, &err));
}

static inline void append(struct store *s, const struct store_record *r)
{
    struct error err = {0};
    assert_ok(store_begin(s, &err));
    assert_ok(store_audit_append(s, r, &err));
    assert_ok(store_commit(s, &err));
}

static inline uint64_t last(struct store *s)
{
    struct error err = {0};
    uint64_t sequence = 0;
    uint8_t hash[32];
    assert_ok(store_audit_last(s, &sequence, hash, &err));
    return sequence;
}

#endif

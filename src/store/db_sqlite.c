#include "store/db.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#define APPLICATION_ID 0x656e6372 /* "encr", at byte 68 of the file */
#define STEPS_BETWEEN_LOOKS 10000 /* of SQLite's machine, at the clock */

struct sqlite {
    struct db db;
    sqlite3 *handle; /* NULL: not open */
    sqlite3_stmt *prepared[STATEMENT_COUNT], *begin, *commit;
    char *path;    /* never one that SQLite reads as a URI or ":memory:" */
    bool may_make; /* a file that was there and is gone is not made anew: its chain would begin
                      again */
};

static struct sqlite *sqlite_of(struct db *db)
{
    return (struct sqlite *)db;
}

/* ---- errors ---- */
static const struct {
    int result; /* extended, or primary */
    int code;
    const char *hint; /* may be NULL */
} results[] = {
    {SQLITE_READONLY_DBMOVED, EHOSTDOWN, "the file was moved or removed while it was in use"},
    {SQLITE_BUSY, EHOSTDOWN, "another process holds it for too long"},
    {SQLITE_LOCKED, EHOSTDOWN, NULL},
    {SQLITE_FULL, EHOSTDOWN, "make room on its file system"},
    {SQLITE_IOERR, EHOSTDOWN, "look at its file system: is it full, or broken?"},
    {SQLITE_INTERRUPT, EHOSTDOWN, NULL}, /* by the progress handler: too slow */
    {SQLITE_CANTOPEN, EHOSTDOWN, "look at the permissions of the file and its folder"},
    {SQLITE_PROTOCOL, EHOSTDOWN, NULL},
    {SQLITE_NOMEM, ENOMEM, NULL},
    {SQLITE_READONLY, EROFS, "the file, its -wal and -shm, and their folder must be writable"},
    {SQLITE_PERM, EACCES, NULL},
    {SQLITE_CORRUPT, EUCLEAN, "stop the broker, keep the file, and restore a backup"},
    {SQLITE_NOTADB, EUCLEAN, "the file is not a database, or was damaged: restore a backup"},
    {SQLITE_TOOBIG, EFBIG, NULL},
};

static int failed(struct sqlite *s, int result, struct error *err)
{
    int code = EIO, system = s->handle ? sqlite3_system_errno(s->handle) : 0;
    const char *hint = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(results); i++)
        if (results[i].result == result || results[i].result == (result & 0xff)) {
            code = results[i].code;
            hint = results[i].hint;
            break;
        }
    const char *text = s->handle ? sqlite3_errmsg(s->handle) : sqlite3_errstr(result);
    int r = error_set(err, code, "%s: %s%s%s", s->db.name, text, system ? ": " : "",
                      system ? strerror(system) : "");
    return hint ? error_hint(err, r, "%s", hint) : r;
}

/* ---- opening ---- */
static void sqlite_disconnect(struct db *db)
{
    struct sqlite *s = sqlite_of(db);
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(s->prepared[i]);
        s->prepared[i] = NULL;
    }
    sqlite3_finalize(s->begin);
    sqlite3_finalize(s->commit);
    s->begin = s->commit = NULL;
    sqlite3_close(s->handle);
    s->handle = NULL;
}

static void sqlite_close(struct db *db)
{
    struct sqlite *s = sqlite_of(db);
    sqlite_disconnect(db);
    free(s->path);
    free(db->name);
    free(s);
}

static int sqlite_open(struct db **ret, const char *url, const struct store_options *o,
                       struct error *err)
{
    const char *path = url + strlen(db_sqlite.scheme);
    if (!*path) {
        int r = error_set(err, EINVAL, "\"%s\": it names no file", url);
        return error_hint(err, r, "as sqlite:/var/lib/encrootd/broker.db");
    }
    struct sqlite *s = calloc(1, sizeof(*s));
    if (!s)
        return error_set(err, ENOMEM, "out of memory");
    s->db.name = strdup(path);
    s->may_make = o->migrate;
    if (asprintf(&s->path, "%s%s", *path == '/' ? "" : "./", path) < 0)
        s->path = NULL;
    if (!s->db.name || !s->path) {
        sqlite_close(&s->db);
        return error_set(err, ENOMEM, "out of memory");
    }
    *ret = &s->db;
    return 0;
}

/* Non-zero ends the statement: its time is over. */
static int too_late(void *db)
{
    return db_left(db) == 0;
}

/* What waits for a lock: until the deadline, a little longer each time. */
static int wait_for_lock(void *p, int times)
{
    const struct db *db = p;
    unsigned left = db_left(db), pause = times < 10 ? 1u + (unsigned)times : 10;
    if (left == 0)
        return 0;
    sqlite3_sleep((int)(left < pause ? left : pause));
    return 1;
}

static int script(struct sqlite *s, const char *sql, struct error *err)
{
    int result = sqlite3_exec(s->handle, sql, NULL, NULL, NULL);
    return result == SQLITE_OK ? 0 : failed(s, sqlite3_extended_errcode(s->handle), err);
}

/* The first column of the first row. */
static int ask(struct sqlite *s, const char *sql, int64_t *ret, struct error *err)
{
    sqlite3_stmt *statement;
    int result = sqlite3_prepare_v2(s->handle, sql, -1, &statement, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    int64_t value = result == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    int r = result == SQLITE_ROW ? 0 : failed(s, sqlite3_extended_errcode(s->handle), err);
    sqlite3_finalize(statement);
    if (r == 0)
        *ret = value;
    return r;
}

/* With mode 0600, which SQLite gives -wal and -shm, too. */
static int make_file(const struct sqlite *s, struct error *err)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOCTTY | (s->may_make ? O_CREAT : 0);
    struct stat st;
    _close_ int fd = open(s->path, flags, 0600);
    if (fd < 0) {
        int code = errno, r = error_errno(err, code, "%s", s->db.name);
        if (code == ENOENT && !s->may_make)
            error_hint(err, r,
                       "`encrootd` makes it when it starts; one that was in use and was "
                       "removed is to be restored from a backup");
        else if (code == ENOENT)
            error_hint(err, r, "its folder must be there");
        return r;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "%s: expected an ordinary file", s->db.name);
    return 0;
}

/* A file of another program is left as it is. In a transaction: another broker may just be making
 * the schema. */
static int check_owner(struct sqlite *s, struct error *err)
{
    int64_t id = 0, objects = 0;
    int r = script(s, "BEGIN", err);
    if (r == 0)
        r = ask(s, "PRAGMA application_id", &id, err);
    if (r == 0)
        r = ask(s, "SELECT count(*) FROM sqlite_schema", &objects, err);
    if (r == 0)
        r = script(s, "COMMIT", err);
    if (r == 0 && id != APPLICATION_ID && (id != 0 || objects > 0))
        return error_set(err, EINVAL, "%s: it is a database of another program", s->db.name);
    return r;
}

/* Others who open a new file at the same time make this busy, without a call of wait_for_lock. */
static int use_wal(struct sqlite *s, struct error *err)
{
    for (int times = 0;; times++) {
        int r = script(s, "PRAGMA journal_mode = WAL", err);
        if (r == 0 || (sqlite3_errcode(s->handle) & 0xff) != SQLITE_BUSY ||
            !wait_for_lock(&s->db, times))
            return r;
    }
}

static int set_up(struct sqlite *s, struct error *err)
{
    sqlite3_extended_result_codes(s->handle, 1);
    sqlite3_busy_handler(s->handle, wait_for_lock, &s->db);
    sqlite3_progress_handler(s->handle, STEPS_BETWEEN_LOOKS, too_late, &s->db);
    sqlite3_db_config(s->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(s->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(s->handle, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(s->handle, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    int r = check_owner(s, err);
    if (r == 0)
        r = use_wal(s, err);
    /* FULL: what was committed is on the disk. FAST: what is deleted is overwritten where that
     * costs no writing. */
    return r < 0 ? r
                 : script(s,
                          "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; "
                          "PRAGMA cell_size_check = ON; PRAGMA secure_delete = FAST; "
                          "PRAGMA journal_size_limit = 67108864",
                          err);
}

/* Is our file still the one with that name? */
static bool moved(struct sqlite *s)
{
    int answer = 0;
    return sqlite3_file_control(s->handle, "main", SQLITE_FCNTL_HAS_MOVED, &answer) == SQLITE_OK &&
           answer;
}

static int sqlite_connect(struct db *db, struct error *err)
{
    struct sqlite *s = sqlite_of(db);
    if (s->handle && !moved(s))
        return 0;
    sqlite_disconnect(db);
    int r = make_file(s, err);
    if (r < 0)
        return r;
    int result =
        sqlite3_open_v2(s->path, &s->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    r = result == SQLITE_OK ? set_up(s, err) : failed(s, result, err);
    if (r < 0) {
        sqlite_disconnect(db);
        return r;
    }
    return 1;
}

/* ---- transactions ---- */
static int prepare(struct sqlite *s, sqlite3_stmt **p, const char *sql, struct error *err)
{
    if (*p)
        return 0;
    int result = sqlite3_prepare_v3(s->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, p, NULL);
    return result == SQLITE_OK ? 0 : failed(s, result, err);
}

/* One of those that have no values. */
static int run_prepared(struct sqlite *s, sqlite3_stmt **p, const char *sql, struct error *err)
{
    int r = prepare(s, p, sql, err);
    if (r < 0)
        return r;
    int result = sqlite3_step(*p);
    r = result == SQLITE_DONE ? 0 : failed(s, sqlite3_extended_errcode(s->handle), err);
    sqlite3_reset(*p);
    return r;
}

/* IMMEDIATE: the only writer from its beginning. */
static int sqlite_begin(struct db *db, struct error *err)
{
    struct sqlite *s = sqlite_of(db);
    return run_prepared(s, &s->begin, "BEGIN IMMEDIATE", err);
}

static int sqlite_commit(struct db *db, struct error *err)
{
    struct sqlite *s = sqlite_of(db);
    /* What is written into a file that has lost its name is lost. */
    if (moved(s))
        return error_set(err, EHOSTDOWN, "%s: the file was moved or removed while it was in use",
                         db->name);
    return run_prepared(s, &s->commit, "COMMIT", err);
}

static void sqlite_rollback(struct db *db)
{
    struct sqlite *s = sqlite_of(db);
    if (s->handle && !sqlite3_get_autocommit(s->handle) &&
        sqlite3_exec(s->handle, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK)
        sqlite_disconnect(db);
}

/* ---- statements ---- */
static int bind(sqlite3_stmt *statement, const struct db_value *v, int n, char type)
{
    const char *data = v->bytes.size ? (const char *)v->bytes.data : "";
    if (v->null)
        return sqlite3_bind_null(statement, n);
    if (type == 'i')
        return sqlite3_bind_int64(statement, n, v->integer);
    if (type == 't')
        return sqlite3_bind_text64(statement, n, data, v->bytes.size, SQLITE_STATIC, SQLITE_UTF8);
    return sqlite3_bind_blob64(statement, n, data, v->bytes.size, SQLITE_STATIC);
}

/* $1 is a name to SQLite: its number is that of its first appearance. */
static int bind_all(sqlite3_stmt *statement, const struct db_value *parameters, const char *types)
{
    int result = SQLITE_OK;
    for (int n = 1; n <= sqlite3_bind_parameter_count(statement) && result == SQLITE_OK; n++) {
        long i = strtol(sqlite3_bind_parameter_name(statement, n) + 1, NULL, 10) - 1;
        result = bind(statement, &parameters[i], n, types[i]);
    }
    return result;
}

static struct db_value column(sqlite3_stmt *statement, int n, char type)
{
    if (sqlite3_column_type(statement, n) == SQLITE_NULL)
        return DB_NULL;
    if (type == 'i')
        return db_int(sqlite3_column_int64(statement, n));
    const void *data =
        type == 't' ? sqlite3_column_text(statement, n) : sqlite3_column_blob(statement, n);
    return db_bytes(BYTES(data ? data : "", sqlite3_column_bytes(statement, n)));
}

static int step_all(struct sqlite *s, enum statement n, db_row *row, void *arg, struct error *err)
{
    struct db_value columns[DB_COLUMNS_MAX];
    const char *types = statements[n].columns;
    int result, rows = 0, r = 0;
    while (r >= 0 && (result = sqlite3_step(s->prepared[n])) == SQLITE_ROW) {
        for (int i = 0; types[i]; i++)
            columns[i] = column(s->prepared[n], i, types[i]);
        rows++;
        r = row ? row(arg, columns, err) : 0;
    }
    if (r < 0)
        return error_prefix(err, r, "%s", s->db.name);
    if (result != SQLITE_DONE)
        return failed(s, result, err);
    return *types ? rows : sqlite3_changes(s->handle);
}

static int sqlite_run(struct db *db, enum statement n, const struct db_value *parameters,
                      db_row *row, void *arg, struct error *err)
{
    struct sqlite *s = sqlite_of(db);
    int r = prepare(s, &s->prepared[n], statements[n].sql, err);
    if (r < 0)
        return r;
    int result = bind_all(s->prepared[n], parameters, statements[n].parameters);
    r = result == SQLITE_OK ? step_all(s, n, row, arg, err) : failed(s, result, err);
    sqlite3_reset(s->prepared[n]);
    sqlite3_clear_bindings(s->prepared[n]);
    return r;
}

static int sqlite_post(struct db *db, enum statement n, const struct db_value *parameters,
                       struct error *err)
{
    int r = sqlite_run(db, n, parameters, NULL, NULL, err);
    return r < 0 ? r : 0;
}

static int sqlite_script(struct db *db, const char *sql, struct error *err)
{
    return script(sqlite_of(db), sql, err);
}

static int sqlite_version(struct db *db, int64_t *ret, struct error *err)
{
    return ask(sqlite_of(db), "PRAGMA user_version", ret, err);
}

static int sqlite_set_version(struct db *db, int64_t version, struct error *err)
{
    struct sqlite *s = sqlite_of(db);
    char sql[128];
    snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d",
             APPLICATION_ID, (int)version);
    s->may_make = false;
    return script(s, sql, err);
}

const struct db_driver db_sqlite = {
    .scheme = "sqlite:",
    .dialect = DB_SQLITE,
    .open = sqlite_open,
    .close = sqlite_close,
    .connect = sqlite_connect,
    .disconnect = sqlite_disconnect,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .run = sqlite_run,
    .post = sqlite_post,
    .script = sqlite_script,
    .version = sqlite_version,
    .set_version = sqlite_set_version,
};

#include "store/postgresql.h"

#include <endian.h>

/* Of the lock that every writer holds for its transaction; within one database. "encroot1" */
#define WRITER "7308888588415890481"

#define POSTED_MAX ((size_t)4 << 20) /* bytes that may wait here for the server */

/* Types by their numbers in pg_type, which do not change. */
enum oid { OID_BYTEA = 17, OID_INT8 = 20, OID_TEXT = 25 };

static Oid oid_of(char type)
{
    return type == 'i' ? OID_INT8 : type == 't' ? OID_TEXT : OID_BYTEA;
}

/* ---- opening ---- */
static void postgresql_close(struct db *db)
{
    struct postgresql *p = postgresql_of(db);
    postgresql_disconnect(db);
    free(p->url);
    free(p->password_file);
    free(db->name);
    free(p);
}

static int postgresql_open(struct db **ret, const char *url, const struct store_options *o,
                           struct error *err)
{
    struct postgresql *p = calloc(1, sizeof(*p));
    if (!p)
        return error_set(err, ENOMEM, "out of memory");
    p->url = strdup(url);
    p->password_file = o->password_file ? strdup(o->password_file) : NULL;
    int r = !p->url || (o->password_file && !p->password_file)
                ? error_set(err, ENOMEM, "out of memory")
                : postgresql_read_url(p, err);
    if (r < 0) {
        postgresql_close(&p->db);
        return r;
    }
    *ret = &p->db;
    return 0;
}

/* ---- transactions ---- */
static int postgresql_begin(struct db *db, struct error *err)
{
    return postgresql_query(postgresql_of(db),
                            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
                            "SELECT pg_advisory_xact_lock(" WRITER ")",
                            NULL, err);
}

/* Behind what was posted, in one round. The server answers COMMIT of a failed transaction by
 * ROLLBACK. */
static int postgresql_commit(struct db *db, struct error *err)
{
    struct postgresql *p = postgresql_of(db);
    _result_ PGresult *result = NULL;
    int r = postgresql_pipeline(p, err);
    if (r == 0 && !PQsendQueryParams(p->connection, "COMMIT", 0, NULL, NULL, NULL, NULL, 0))
        r = error_set(err, EHOSTDOWN, "%s: %s", db->name, PQerrorMessage(p->connection));
    if (r == 0)
        r = postgresql_results(p, &result, err);
    if (r == 0 && strcmp(PQcmdStatus(result), "COMMIT") != 0)
        return error_set(err, EHOSTDOWN, "%s: the transaction was not committed", db->name);
    return r;
}

static void postgresql_rollback(struct db *db)
{
    struct postgresql *p = postgresql_of(db);
    if (!p->connection)
        return;
    if (PQpipelineStatus(p->connection) != PQ_PIPELINE_OFF &&
        postgresql_results(p, NULL, NULL) < 0 && !p->connection)
        return;
    if (PQtransactionStatus(p->connection) != PQTRANS_IDLE &&
        postgresql_query(p, "ROLLBACK", NULL, NULL) < 0)
        postgresql_disconnect(db);
}

/* ---- statements ---- */
static void name_of(enum statement n, char ret[8])
{
    snprintf(ret, 8, "s%u", (unsigned)n % 1000);
}

static int prepare(struct postgresql *p, enum statement n, struct error *err)
{
    Oid types[DB_COLUMNS_MAX];
    char name[8];
    int count = (int)strlen(statements[n].parameters);
    if (p->prepared[n])
        return 0;
    for (int i = 0; i < count; i++)
        types[i] = oid_of(statements[n].parameters[i]);
    name_of(n, name);
    int r = PQsendPrepare(p->connection, name, statements[n].sql, count, types)
                ? postgresql_results(p, NULL, err)
                : error_set(err, EHOSTDOWN, "%s: %s", p->db.name, PQerrorMessage(p->connection));
    p->prepared[n] = r == 0;
    return r < 0 ? r : postgresql_pipeline(p, err);
}

/* All in binary: integers of 8 bytes, big-endian; text and bytes as they are. */
static int send(struct postgresql *p, enum statement n, const struct db_value *parameters,
                struct error *err)
{
    uint64_t integers[DB_COLUMNS_MAX];
    const char *values[DB_COLUMNS_MAX];
    int sizes[DB_COLUMNS_MAX], formats[DB_COLUMNS_MAX];
    char name[8];
    const char *types = statements[n].parameters;
    int count = (int)strlen(types);
    for (int i = 0; i < count; i++) {
        struct bytes b = parameters[i].bytes;
        integers[i] = htobe64((uint64_t)parameters[i].integer);
        if (types[i] == 'i')
            b = BYTES(&integers[i], 8);
        values[i] = parameters[i].null ? NULL : b.size ? (const char *)b.data : "";
        sizes[i] = (int)b.size;
        formats[i] = 1;
    }
    name_of(n, name);
    if (!PQsendQueryPrepared(p->connection, name, count, values, sizes, formats, 1))
        return error_set(err, EHOSTDOWN, "%s: %s", p->db.name, PQerrorMessage(p->connection));
    return 0;
}

static struct db_value column(const PGresult *result, int row, int n, char type)
{
    uint64_t integer;
    if (PQgetisnull(result, row, n))
        return DB_NULL;
    const char *data = PQgetvalue(result, row, n);
    if (type != 'i')
        return db_bytes(BYTES(data, PQgetlength(result, row, n)));
    memcpy(&integer, data, sizeof(integer));
    return db_int((int64_t)be64toh(integer));
}

static int check_columns(const struct postgresql *p, const PGresult *result, const char *types,
                         struct error *err)
{
    bool good = PQnfields(result) == (int)strlen(types);
    for (int i = 0; good && types[i]; i++)
        good = PQftype(result, i) == oid_of(types[i]) && PQfformat(result, i) == 1;
    return good ? 0
                : error_set(err, EUCLEAN, "%s: its tables are not those that encroot made",
                            p->db.name);
}

static int put_rows(struct postgresql *p, const PGresult *result, const char *types, db_row *row,
                    void *arg, struct error *err)
{
    struct db_value columns[DB_COLUMNS_MAX];
    int r = check_columns(p, result, types, err);
    for (int i = 0; i < PQntuples(result) && r == 0 && row; i++) {
        for (int n = 0; types[n]; n++)
            columns[n] = column(result, i, n, types[n]);
        r = row(arg, columns, err);
        if (r < 0)
            error_prefix(err, r, "%s", p->db.name);
    }
    return r < 0 ? r : PQntuples(result);
}

static int enqueue(struct postgresql *p, enum statement n, const struct db_value *parameters,
                   struct error *err)
{
    int r = postgresql_pipeline(p, err);
    if (r == 0)
        r = prepare(p, n, err);
    return r < 0 ? r : send(p, n, parameters, err);
}

static int postgresql_run(struct db *db, enum statement n, const struct db_value *parameters,
                          db_row *row, void *arg, struct error *err)
{
    struct postgresql *p = postgresql_of(db);
    _result_ PGresult *result = NULL;
    int r = enqueue(p, n, parameters, err);
    if (r == 0)
        r = postgresql_results(p, &result, err);
    if (r < 0)
        return r;
    const char *types = statements[n].columns;
    return *types ? put_rows(p, result, types, row, arg, err)
                  : (int)strtol(PQcmdTuples(result), NULL, 10);
}

static int postgresql_post(struct db *db, enum statement n, const struct db_value *parameters,
                           struct error *err)
{
    struct postgresql *p = postgresql_of(db);
    int r = enqueue(p, n, parameters, err);
    if (r < 0)
        return r;
    for (size_t i = 0; statements[n].parameters[i]; i++)
        p->posted += sizeof(struct db_value) + parameters[i].bytes.size;
    if (p->posted > POSTED_MAX)
        return postgresql_results(p, NULL, err);
    if (PQflush(p->connection) < 0) /* the server begins with it while we go on */
        return error_set(err, EHOSTDOWN, "%s: %s", db->name, PQerrorMessage(p->connection));
    return 0;
}

static int postgresql_script(struct db *db, const char *sql, struct error *err)
{
    return postgresql_query(postgresql_of(db), sql, NULL, err);
}

/* ---- the schema's version ---- */
static int ask(struct postgresql *p, const char *sql, int64_t *ret, struct error *err)
{
    _result_ PGresult *result = NULL;
    int r = postgresql_query(p, sql, &result, err);
    if (r == 0 && PQntuples(result) != 1)
        return error_set(err, EUCLEAN, "%s: its table schema_version was changed", p->db.name);
    if (r == 0)
        *ret = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    return r;
}

static int postgresql_version(struct db *db, int64_t *ret, struct error *err)
{
    struct postgresql *p = postgresql_of(db);
    int64_t there;
    int r = ask(p,
                "SELECT count(*) FROM pg_tables WHERE schemaname = 'encroot' "
                "AND tablename = 'schema_version'",
                &there, err);
    if (r == 0 && there)
        return ask(p, "SELECT version FROM encroot.schema_version", ret, err);
    if (r == 0)
        *ret = 0;
    return r;
}

static int postgresql_set_version(struct db *db, int64_t version, struct error *err)
{
    char sql[96];
    snprintf(sql, sizeof(sql), "UPDATE schema_version SET version = %d", (int)version);
    return postgresql_query(postgresql_of(db), sql, NULL, err);
}

const struct db_driver db_postgresql = {
    .scheme = "postgresql://",
    .dialect = DB_POSTGRESQL,
    .open = postgresql_open,
    .close = postgresql_close,
    .connect = postgresql_connect,
    .disconnect = postgresql_disconnect,
    .begin = postgresql_begin,
    .commit = postgresql_commit,
    .rollback = postgresql_rollback,
    .run = postgresql_run,
    .post = postgresql_post,
    .script = postgresql_script,
    .version = postgresql_version,
    .set_version = postgresql_set_version,
};

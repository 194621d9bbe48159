#include "store/postgresql.h"

#include <poll.h>
#include <resolv.h>
#include <sys/random.h>

#define FIRST_PAUSE 100
#define LONGEST_PAUSE 2000 /* milliseconds: how soon a server is noticed that is there again */

void postgresql_disconnect(struct db *db)
{
    struct postgresql *p = postgresql_of(db);
    PQfinish(p->connection);
    p->connection = NULL;
    memset(p->prepared, 0, sizeof(p->prepared));
    p->posted = 0;
}

/* ---- waiting ---- */
/* libpq's texts have lines. */
static const char *one_line(struct postgresql *p, const char *text)
{
    size_t n = 0;
    for (; *text && n < sizeof(p->failure) - 1; text++)
        if ((unsigned char)*text > ' ')
            p->failure[n++] = *text;
        else if (n > 0 && p->failure[n - 1] != ' ')
            p->failure[n++] = ' ';
    p->failure[n > 0 && p->failure[n - 1] == ' ' ? n - 1 : n] = '\0';
    return p->failure;
}

/* -EHOSTDOWN, and the next call may not try before a while: several brokers do not do so at once.
 */
static int back_off(struct postgresql *p, const char *text, struct error *err)
{
    uint16_t random = 0;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
        random = 0;
    unsigned pause = p->pause ? 2 * p->pause : FIRST_PAUSE;
    p->pause = pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE;
    p->retry_at = db_now() + p->pause - random % (p->pause / 4);
    one_line(p, text);
    postgresql_disconnect(&p->db);
    return error_set(err, EHOSTDOWN, "%s: %s", p->db.name, p->failure);
}

static int too_late(struct postgresql *p, struct error *err)
{
    char text[64];
    snprintf(text, sizeof(text), "the server did not answer within %u ms", p->db.patience);
    return back_off(p, text, err);
}

/* Wait for the socket: 1, or 0 at the deadline. */
static int wait_for(struct postgresql *p, short events)
{
    struct pollfd fd = {.fd = PQsocket(p->connection), .events = events};
    int n;
    do
        n = poll(&fd, 1, (int)db_left(&p->db));
    while (n < 0 && errno == EINTR);
    return n > 0;
}

static int lost(struct postgresql *p, struct error *err)
{
    int r =
        error_set(err, EHOSTDOWN, "%s: %s", p->db.name, one_line(p, PQerrorMessage(p->connection)));
    postgresql_disconnect(&p->db);
    return r;
}

/* Send what is left to be sent, and read, until there is a result. */
static int wait_for_result(struct postgresql *p, struct error *err)
{
    for (;;) {
        int unsent = PQflush(p->connection);
        if (unsent < 0)
            return lost(p, err);
        if (unsent == 0 && !PQisBusy(p->connection))
            return 0;
        if (!wait_for(p, unsent ? POLLIN | POLLOUT : POLLIN))
            return too_late(p, err);
        if (!PQconsumeInput(p->connection))
            return lost(p, err);
    }
}

/* ---- results ---- */
static const struct {
    const char *state; /* SQLSTATE, or its class (appendix A) */
    int code;
} states[] = {
    {"08", EHOSTDOWN},    /* connection */
    {"25006", EHOSTDOWN}, /* read-only: no longer the primary server */
    {"25P", EHOSTDOWN},   /* the transaction was ended by a time-out */
    {"28", EHOSTDOWN},    /* not let in; that is the server's to change */
    {"3D", EHOSTDOWN},    /* no such database */
    {"40", EHOSTDOWN},    /* serialization, deadlock */
    {"53", EHOSTDOWN},    /* disk full, out of memory, too many connections */
    {"55P03", EHOSTDOWN}, /* lock time-out */
    {"57", EHOSTDOWN},    /* statement time-out, shutdown, starting up */
    {"58", EHOSTDOWN},    /* input and output */
    {"23505", EEXIST},    {"22021", EINVAL},  {"42501", EACCES},
    {"XX001", EUCLEAN},   {"XX002", EUCLEAN},
};

static int refused(struct postgresql *p, const PGresult *result, struct error *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (PQstatus(p->connection) != CONNECTION_OK)
        return lost(p, err);
    if (!state)
        return error_set(err, EIO, "%s: %s", p->db.name, PQresultErrorMessage(result));
    int code = EIO;
    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        if (strncmp(state, states[i].state, strlen(states[i].state)) == 0) {
            code = states[i].code;
            break;
        }
    return error_set(err, code, "%s: %s (%s)", p->db.name, text ? text : "an error", state);
}

static bool is_error(const PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);
    return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK;
}

/* Keep it, unless an error is kept already. Takes `next`. */
static void keep(PGresult **kept, PGresult *next)
{
    if (*kept && is_error(*kept)) {
        PQclear(next);
        return;
    }
    PQclear(*kept);
    *kept = next;
}

/* Results until there is none, or, in a pipeline, until its end; there, a NULL is behind each. */
static int collect(struct postgresql *p, PGresult **kept, struct error *err)
{
    bool pipeline = PQpipelineStatus(p->connection) != PQ_PIPELINE_OFF;
    for (;;) {
        int r = wait_for_result(p, err);
        if (r < 0)
            return r;
        PGresult *next = PQgetResult(p->connection);
        if (next && PQresultStatus(next) == PGRES_PIPELINE_SYNC) {
            PQclear(next);
            return 0;
        }
        if (next)
            keep(kept, next);
        else if (!pipeline)
            return 0;
        if (PQstatus(p->connection) != CONNECTION_OK)
            return lost(p, err);
    }
}

static int take_results(struct postgresql *p, PGresult **ret, struct error *err)
{
    _result_ PGresult *kept = NULL;
    int r = collect(p, &kept, err);
    if (r < 0)
        return r;
    if (!kept)
        return lost(p, err);
    if (is_error(kept))
        return refused(p, kept, err);
    if (ret)
        *ret = TAKE_PTR(kept);
    return 0;
}

int postgresql_pipeline(struct postgresql *p, struct error *err)
{
    return PQenterPipelineMode(p->connection) ? 0 : lost(p, err);
}

int postgresql_results(struct postgresql *p, PGresult **ret, struct error *err)
{
    if (!PQpipelineSync(p->connection))
        return lost(p, err);
    int r = take_results(p, ret, err);
    p->posted = 0;
    if (p->connection && !PQexitPipelineMode(p->connection)) {
        PQclear(r == 0 && ret ? TAKE_PTR(*ret) : NULL);
        return lost(p, err);
    }
    return r;
}

int postgresql_query(struct postgresql *p, const char *sql, PGresult **ret, struct error *err)
{
    return PQsendQuery(p->connection, sql) ? take_results(p, ret, err) : lost(p, err);
}

/* ---- connecting ---- */
/* libpq would print what the server remarks. */
static void ignore_notice(void *arg, const PGresult *notice)
{
}

/*
 * Those before the URL are defaults, those behind it are not for it to change. Over a network,
 * whoever can pretend to be the database decides about releases: so the server's certificate is
 * verified unless the URL says otherwise.
 */
static PGconn *start(const struct postgresql *p)
{
    char patience[16];
    snprintf(patience, sizeof(patience), "%u", p->db.patience);
    const char *const options[][2] = {
        {"sslmode", p->local ? "prefer" : "verify-full"},
        {"gssencmode", "disable"},
        {"target_session_attrs", "read-write"},
        {"keepalives_idle", "10"},
        {"keepalives_interval", "3"},
        {"keepalives_count", "3"},
        {"fallback_application_name", "encroot"},
        {"dbname", p->url},
        {"tcp_user_timeout", patience},
        {"client_encoding", "UTF8"},
        {p->password_file ? "passfile" : NULL, p->password_file},
    };
    const char *keys[ARRAY_SIZE(options) + 1] = {0}, *values[ARRAY_SIZE(options) + 1] = {0};
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        keys[i] = options[i][0];
        values[i] = options[i][1];
    }
    return PQconnectStartParams(keys, values, 1);
}

/* libpq looks names up by a call that we cannot end: so that it ends by itself, one attempt of a
 * second each instead of two of five. */
static void hurry_resolver(const struct postgresql *p)
{
    if (!p->local && res_init() == 0) {
        _res.retrans = 1;
        _res.retry = 1;
    }
}

static int reach(struct postgresql *p, struct error *err)
{
    hurry_resolver(p);
    p->connection = start(p);
    if (!p->connection)
        return error_set(err, ENOMEM, "out of memory");
    PQsetNoticeReceiver(p->connection, ignore_notice, NULL);
    PostgresPollingStatusType state =
        PQstatus(p->connection) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    while (state == PGRES_POLLING_READING || state == PGRES_POLLING_WRITING) {
        if (!wait_for(p, state == PGRES_POLLING_READING ? POLLIN : POLLOUT))
            return too_late(p, err);
        state = PQconnectPoll(p->connection);
    }
    if (state != PGRES_POLLING_OK || PQsetnonblocking(p->connection, 1) != 0)
        return back_off(p, PQerrorMessage(p->connection), err);
    return 0;
}

/*
 * Time-outs of the server come before ours, so that the connection outlives them; and a transaction
 * of a broker that vanished does not hold the others up for long. Nothing that another user of the
 * database made is found by the names that we use.
 */
static int prepare_session(struct postgresql *p, PGresult **ret, struct error *err)
{
    char sql[1024];
    unsigned patience = p->db.patience;
    snprintf(sql, sizeof(sql),
             "SET search_path = encroot, pg_temp; SET statement_timeout = %u; "
             "SET lock_timeout = %u; SET idle_in_transaction_session_timeout = %u; "
             "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 3; "
             "SET tcp_keepalives_count = 3; SET default_transaction_isolation = 'read committed'; "
             "SET default_transaction_read_only = off; "
             "SELECT pg_catalog.set_config('synchronous_commit', CASE WHEN "
             "pg_catalog.current_setting('synchronous_commit') = 'remote_apply' "
             "THEN 'remote_apply' ELSE 'on' END, false), pg_catalog.current_setting('fsync'), "
             "pg_catalog.current_setting('server_encoding')",
             patience - patience / 10, patience - patience / 5, 2 * patience);
    return postgresql_query(p, sql, ret, err);
}

static int check_server(struct postgresql *p, struct error *err)
{
    _result_ PGresult *answer = NULL;
    int r = prepare_session(p, &answer, err);
    if (r < 0)
        return r;
    const char *commit = PQgetvalue(answer, 0, 0), *encoding = PQgetvalue(answer, 0, 2);
    if (strcmp(commit, "on") != 0 && strcmp(commit, "remote_apply") != 0)
        return error_set(err, EINVAL, "%s: expected synchronous_commit on, found %s", p->db.name,
                         commit);
    if (strcmp(PQgetvalue(answer, 0, 1), "on") != 0)
        return error_set(err, EINVAL, "%s: expected fsync on, found off: nothing there is durable",
                         p->db.name);
    if (strcmp(encoding, "UTF8") != 0 && strcmp(encoding, "SQL_ASCII") != 0) {
        r = error_set(err, EINVAL, "%s: expected a database in UTF8, found %s", p->db.name,
                      encoding);
        return error_hint(err, r, "createdb --encoding=UTF8 --template=template0 encroot");
    }
    return 0;
}

/* Between calls nothing comes but notices, and the end. */
static bool is_alive(struct postgresql *p)
{
    struct pollfd fd = {.fd = PQsocket(p->connection), .events = POLLIN};
    while (poll(&fd, 1, 0) > 0) {
        if (!PQconsumeInput(p->connection))
            return false;
        PQfreemem(PQnotifies(p->connection));
    }
    return PQstatus(p->connection) == CONNECTION_OK;
}

int postgresql_connect(struct db *db, struct error *err)
{
    struct postgresql *p = postgresql_of(db);
    if (p->connection && is_alive(p))
        return 0;
    postgresql_disconnect(db);
    uint64_t now = db_now();
    if (now < p->retry_at)
        return error_set(err, EHOSTDOWN, "%s: %s (next attempt in %u ms)", db->name, p->failure,
                         (unsigned)(p->retry_at - now));
    int r = reach(p, err);
    if (r == 0)
        r = check_server(p, err);
    if (r < 0) {
        postgresql_disconnect(db);
        return r;
    }
    p->pause = 0;
    return 1;
}

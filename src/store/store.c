#include "store/operations.h"
#include "store/migrations.h"

#define PATIENCE 5000

static const struct db_driver *const drivers[] = {&db_sqlite, &db_postgresql};

/* ---- opening ---- */
/* By "scheme:". The password of a URL that nobody can read is in it somewhere. */
static const struct db_driver *driver_of(const char *url)
{
    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
        if (strncmp(url, drivers[i]->scheme, strlen(drivers[i]->scheme)) == 0)
            return drivers[i];
    return NULL;
}

static int connect_checked(struct store *s, struct error *err)
{
    struct db *db = s->db;
    int r = db->driver->connect(db, err);
    if (r <= 0)
        return r;
    r = migrations_apply(db, s->migrate, err);
    if (r < 0)
        db->driver->disconnect(db);
    return r;
}

/* Outside of a transaction: a connection to a database whose schema is ours, or -EHOSTDOWN, which
 * nobody takes for an answer to the call. */
static int use(struct store *s, struct error *err)
{
    int r = connect_checked(s, err);
    if (r < 0 && err)
        err->code = EHOSTDOWN;
    return r < 0 ? -EHOSTDOWN : 0;
}

static void begin_call(struct store *s)
{
    s->db->deadline = db_now() + s->db->patience;
}

int store_open(struct store **ret, const char *url, const struct store_options *options,
               struct error *err)
{
    const struct db_driver *driver = driver_of(url);
    if (!driver) {
        int r = error_set(err, EINVAL, "the URL of a store begins with sqlite: or postgresql://");
        return error_hint(err, r,
                          "as sqlite:/var/lib/encrootd/broker.db, or "
                          "postgresql://encroot@db.example.org/encroot");
    }
    _store_ struct store *s = calloc(1, sizeof(*s));
    if (!s)
        return error_set(err, ENOMEM, "out of memory");
    int r = driver->open(&s->db, url, options, err);
    if (r < 0)
        return r;
    s->db->driver = driver;
    s->db->patience = options->patience ? options->patience : PATIENCE;
    s->migrate = options->migrate;
    begin_call(s);
    r = connect_checked(s, err);
    if (r < 0 && r != -EHOSTDOWN)
        return r;
    *ret = TAKE_PTR(s);
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    store_rollback(s);
    if (s->db)
        s->db->driver->close(s->db);
    free(s);
}

int store_ping(struct store *s, struct error *err)
{
    static const uint8_t none[16];
    const struct db_value p[] = {db_bytes(BYTES_OF(none))};
    int r = store_read(s, STATEMENT_PING, p, NULL, NULL, err);
    return r < 0 ? r : 0;
}

/* ---- transactions ---- */
static void end(struct store *s, enum store_state state)
{
    if (s->state == STORE_IN_TRANSACTION)
        s->db->driver->rollback(s->db);
    s->state = state;
    s->head_known = false;
}

int store_begin(struct store *s, struct error *err)
{
    if (s->state == STORE_IN_TRANSACTION)
        return error_set(err, EINVAL, "%s: a transaction in a transaction", s->db->name);
    s->state = STORE_IDLE;
    begin_call(s);
    int r = use(s, err);
    if (r == 0)
        r = s->db->driver->begin(s->db, err);
    if (r == 0)
        s->state = STORE_IN_TRANSACTION;
    else
        s->db->driver->rollback(s->db);
    return r;
}

int store_commit(struct store *s, struct error *err)
{
    int r = store_check_writing(s, err);
    if (r == 0) {
        begin_call(s);
        r = s->db->driver->commit(s->db, err);
    }
    if (r == 0)
        s->state = STORE_IDLE;
    end(s, STORE_IDLE);
    return r;
}

void store_rollback(struct store *s)
{
    if (s->state == STORE_IN_TRANSACTION)
        begin_call(s);
    end(s, STORE_IDLE);
}

int store_probe(struct store *s, struct error *err)
{
    const struct db_driver *d = s->db->driver;
    int64_t version;
    int r = store_begin(s, err);
    if (r < 0)
        return r;
    r = d->version(s->db, &version, err);
    if (r == 0)
        r = d->set_version(s->db, version, err);
    if (r == 0)
        r = store_commit(s, err);
    if (r < 0)
        store_rollback(s);
    return r;
}

/* ---- for the operations ---- */
static int run(struct store *s, enum statement n, const struct db_value *parameters, db_row *row,
               void *arg, struct error *err)
{
    int r = s->db->driver->run(s->db, n, parameters, row, arg, err);
    if (r < 0 && s->state == STORE_IN_TRANSACTION)
        end(s, STORE_VOID);
    return r;
}

int store_read(struct store *s, enum statement n, const struct db_value *parameters, db_row *row,
               void *arg, struct error *err)
{
    begin_call(s);
    int r = s->state == STORE_IN_TRANSACTION ? 0 : use(s, err);
    return r < 0 ? r : run(s, n, parameters, row, arg, err);
}

int store_check_writing(const struct store *s, struct error *err)
{
    static const struct {
        int code;
        const char *text;
    } answers[] = {
        [STORE_IDLE] = {EINVAL, "a change outside of a transaction"},
        [STORE_IN_TRANSACTION] = {0, NULL},
        [STORE_VOID] = {EHOSTDOWN, "the transaction is void after an error"},
    };
    if (answers[s->state].code == 0)
        return 0;
    return error_set(err, answers[s->state].code, "%s: %s", s->db->name, answers[s->state].text);
}

int store_write(struct store *s, enum statement n, const struct db_value *parameters, db_row *row,
                void *arg, struct error *err)
{
    int r = store_check_writing(s, err);
    if (r < 0)
        return r;
    begin_call(s);
    return run(s, n, parameters, row, arg, err);
}

int store_post(struct store *s, enum statement n, const struct db_value *parameters,
               struct error *err)
{
    int r = store_check_writing(s, err);
    if (r < 0)
        return r;
    begin_call(s);
    r = s->db->driver->post(s->db, n, parameters, err);
    if (r < 0)
        end(s, STORE_VOID);
    return r;
}

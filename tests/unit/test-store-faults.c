/* Stores in trouble: writers at once, processes and servers that die, full disks, other schemas. */
#include "stores.h"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#define SHORT 500       /* milliseconds of patience, where it is to run out */
#define LONG_TIME 10000 /* milliseconds in which that surely has happened */
#define WRITERS 3
#define WRITES 30

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void sleep_ms(unsigned ms)
{
    poll(NULL, 0, (int)ms);
}

static void until_up(struct store *s)
{
    struct error err = {0};
    uint64_t end = now_ms() + 60000;
    while (store_ping(s, &err) < 0 && now_ms() < end)
        sleep_ms(10);
    assert_ok(store_ping(s, &err));
}

/* ---- processes of their own: they report by their exit status ---- */
typedef int in_child(const struct kind *kind, int number);

static pid_t child(in_child *f, const struct kind *kind, int number)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(f(kind, number));
    return pid;
}

static void children_succeed(in_child *f, const struct kind *kind, int count)
{
    pid_t pids[8];
    for (int i = 0; i < count; i++)
        pids[i] = child(f, kind, i);
    for (int i = 0; i < count; i++) {
        int status = -1;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
}

static int opened(struct store **s, const struct kind *kind)
{
    struct error err = {0};
    const struct store_options o = {.migrate = true, .patience = 60000};
    int r = store_open(s, kind->url(), &o, &err);
    if (r == 0)
        r = store_ping(*s, &err);
    if (r < 0)
        fprintf(stderr, "opening: %s\n", err.text);
    return r;
}

/* ---- one chain ---- */
/* A record whose hash is that of the one before it, with 1 added to each byte of it. */
static int append_next(struct store *s, uint8_t volume, struct error *err)
{
    uint64_t sequence;
    uint8_t hash[32];
    int r = store_begin(s, err);
    if (r == 0)
        r = store_audit_last(s, &sequence, hash, err);
    struct store_record next = a_record(r == 0 ? sequence + 1 : 1, volume, true);
    for (size_t i = 0; i < sizeof(hash) && r == 0; i++)
        next.hash[i] = (uint8_t)(hash[i] + 1);
    if (r == 0)
        r = store_audit_append(s, &next, err);
    if (r == 0)
        r = store_commit(s, err);
    store_rollback(s);
    return r;
}

static int writer(const struct kind *kind, int number)
{
    struct error err = {0};
    _store_ struct store *s = NULL;
    int r = opened(&s, kind);
    for (int i = 0; i < WRITES && r == 0; i++)
        r = append_next(s, (uint8_t)(number + 1), &err);
    if (r < 0)
        fprintf(stderr, "writer %d: %s\n", number, err.text);
    return r == 0 ? 0 : 1;
}

static void writers_at_once_make_one_chain(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    static struct store_record got[WRITERS * WRITES + 1];
    size_t by[WRITERS + 1] = {0};
    children_succeed(writer, f->kind, WRITERS);
    int n = store_audit_list(f->s, 0, false, NULL, got, ARRAY_SIZE(got), &err);
    assert_int_equal(n, WRITERS * WRITES);
    for (int i = 0; i < n; i++) {
        assert_int_equal(got[i].sequence, i + 1);
        assert_int_equal(got[i].hash[0], (i + 1) % 256);
        by[got[i].volume[0]]++;
        store_record_free(&got[i]);
    }
    for (int i = 1; i <= WRITERS; i++)
        assert_int_equal(by[i], WRITES);
}

static void a_writer_waits_for_another_and_no_longer_than_its_patience(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    _store_ struct store *other = open_store(f->kind, SHORT);
    struct store_record r = a_record(1, 1, true);
    assert_ok(store_begin(f->s, &err));
    assert_ok(store_audit_append(f->s, &r, &err));
    uint64_t start = now_ms();
    assert_int_equal(store_begin(other, &err), -EHOSTDOWN);
    assert_true(now_ms() - start < LONG_TIME);
    assert_int_equal(last(other), 0); /* readers do not wait */
    assert_int_equal(store_audit_append(other, &r, &err), -EINVAL);
    assert_ok(store_commit(f->s, &err));
    assert_int_equal(last(other), 1);
    assert_ok(append_next(other, 1, &err));
}

/* ---- a process dies ---- */
static int dies_in_a_transaction(const struct kind *kind, int out)
{
    struct error err = {0};
    struct store *s = NULL;
    struct store_record r = a_record(2, 1, true);
    struct store_volume v = a_volume(1, "one");
    if (opened(&s, kind) < 0 || store_begin(s, &err) < 0 || store_audit_append(s, &r, &err) < 0 ||
        store_volume_add(s, &v, BYTES_STR("p"), BYTES_STR("e"), &err) < 0 ||
        write(out, "x", 1) != 1)
        return 1;
    for (;;)
        pause();
}

static void a_killed_process_leaves_nothing_half_done(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct store_record first = a_record(1, 1, true);
    struct store_volume none = {0};
    int pipes[2];
    char c;
    append(f->s, &first);
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = child(dies_in_a_transaction, f->kind, pipes[1]);
    close(pipes[1]);
    assert_int_equal(read(pipes[0], &c, 1), 1);
    close(pipes[0]);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(last(f->s), 1);
    assert_int_equal(store_volume_find(f->s, "one", &none, &err), -ENOENT);
    assert_ok(append_next(f->s, 1, &err));
}

/* ---- schemas ---- */
static int migrates(const struct kind *kind, int number)
{
    _store_ struct store *s = NULL;
    return opened(&s, kind) == 0 ? 0 : 1;
}

static void brokers_that_start_at_once_make_one_schema(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++) {
        store_close(f->s);
        f->s = NULL;
        f->kind->clear();
        children_succeed(migrates, f->kind, 4);
        f->s = open_store(f->kind, 0);
        assert_int_equal(last(f->s), 0);
    }
}

/* What version 1 had, with what was in it; nothing of it is sealed. */
static void an_older_schema_moves_forward(void **state)
{
    static const char *const backward[] = {
        "ALTER TABLE volume DROP COLUMN effective_sha256",
        "ALTER TABLE volume DROP COLUMN sources_sha256",
        "ALTER TABLE volume DROP COLUMN seal",
        "ALTER TABLE request DROP COLUMN seal",
    };
    struct fixture *f = *state;
    const struct store_options use = {.migrate = false};
    _store_volume_ struct store_volume got = {0};
    struct error err = {0};
    struct store_volume v = a_volume(1, "one");
    memset(v.seal, 0x5e, sizeof(v.seal));
    assert_ok(store_begin(f->s, &err));
    assert_ok(store_volume_add(f->s, &v, BYTES_STR("p"), BYTES_STR("e"), &err));
    assert_ok(store_commit(f->s, &err));
    store_close(f->s);
    f->s = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(backward); i++)
        f->kind->sql(backward[i]);
    f->kind->sql(f->kind == &kind_sqlite ? "PRAGMA user_version = 1"
                                         : "UPDATE schema_version SET version = 1");
    assert_refused(store_open(&f->s, f->kind->url(), &use, &err), EPROTONOSUPPORT,
                   "its schema has version 1; this program needs version 2");
    f->s = open_store(f->kind, 0);
    assert_ok(store_volume_get(f->s, v.uuid, &got, &err));
    assert_string_equal(got.name, "one");
    assert_true(bytes_are_zero(got.seal, sizeof(got.seal)));
    assert_true(bytes_are_zero(got.effective_sha256, 32));
}

static void a_newer_schema_is_refused(void **state)
{
    static const struct store_options options[] = {{.migrate = true}, {.migrate = false}};
    struct fixture *f = *state;
    f->kind->sql(f->kind == &kind_sqlite ? "PRAGMA user_version = 3"
                                         : "UPDATE schema_version SET version = 3");
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        struct error err = {0};
        struct store *s = NULL;
        assert_refused(store_open(&s, f->kind->url(), &options[i], &err), EPROTONOSUPPORT,
                       "version 3, which is newer than this program's, 2");
        assert_null(s);
    }
}

static void an_empty_database_is_for_the_daemon_to_fill(void **state)
{
    struct fixture *f = *state;
    const struct store_options o = {.migrate = false};
    struct error err = {0};
    _store_ struct store *again = NULL;
    struct store *s = NULL;
    assert_ok(store_open(&again, f->kind->url(), &o, &err));
    f->kind->clear();
    if (f->kind == &kind_sqlite)
        write_at("store.db", "", 0, 0);
    assert_refused(store_open(&s, f->kind->url(), &o, &err), EPROTONOSUPPORT, "it has no schema");
}

/* ---- URLs ---- */
static void a_url_that_makes_no_sense_is_refused_without_its_password(void **state)
{
    static const char *const urls[] = {
        "",
        "x",
        "hunter2",
        "sqlite:",
        "postgres:hunter2",
        "mysql://u:hunter2@h/d",
        "postgresql://u:hunter2@[::1/d",
        "postgresql://u:hunter2@h:port/d",
        "postgresql://u:a/hunter2@h/d",
        "postgresql://u:hunter2/a@h/d",
        "postgresql://u:1/hunter2@h/d",
        "postgresql://u:hunter2@h/d?nonsense=hunter2",
        "postgresql://u:hunter2@h/d?%zz",
        "postgresql://u:a@hunter2@h/d",
        "postgresql://u:hunter2@/d?port=x",
    };
    const struct store_options o = {.migrate = true};
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        struct error err = {0};
        struct store *s = NULL;
        int r = store_open(&s, urls[i], &o, &err);
        if (r != -EINVAL || !err.hint[0] || strstr(err.text, "hunter2") ||
            strstr(err.hint, "hunter2"))
            fail_msg("%s: %d: %s (%s)", urls[i], r, err.text, err.hint);
    }
}

static void a_password_shows_in_no_error(void **state)
{
    static const char *const urls[] = {"postgresql://u:hunter2@127.0.0.1:1/d",
                                       "postgresql://127.0.0.1:1/d?user=u&password=hunter2",
                                       "postgresql://u:a?hunter2@%2Fnone/d"};
    const struct store_options o = {.migrate = true};
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        struct error err = {0};
        _store_ struct store *s = NULL;
        assert_ok(store_open(&s, urls[i], &o, &err));
        assert_int_equal(store_ping(s, &err), -EHOSTDOWN);
        assert_null(strstr(err.text, "hunter2"));
        assert_non_null(strstr(err.text, "postgresql://"));
    }
}

/* ---- SQLite ---- */
static void its_files_are_for_their_owner(void **state)
{
    struct fixture *f = *state;
    static const char *const files[] = {"store.db", "store.db-wal", "store.db-shm"};
    struct store_record r = a_record(1, 1, true);
    store_close(f->s);
    f->kind->clear();
    mode_t before = umask(0);
    f->s = open_store(f->kind, 0);
    append(f->s, &r);
    umask(before);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        struct stat st;
        assert_int_equal(stat(files[i], &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
}

static void a_file_is_opened_as_a_file(void **state)
{
    static const char *const names[] = {":memory:", "file:a?mode=memory", "a b?c=d#e%41"};
    const struct store_options o = {.migrate = true};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct error err = {0};
        _store_ struct store *s = NULL;
        char url[64];
        snprintf(url, sizeof(url), "sqlite:%s", names[i]);
        assert_ok(store_open(&s, url, &o, &err));
        assert_true(file_size(names[i]) > 0);
    }
}

static void a_missing_folder_or_file_is_named(void **state)
{
    const struct store_options make = {.migrate = true}, use = {.migrate = false};
    struct error err = {0};
    struct store *s = NULL;
    assert_refused(store_open(&s, "sqlite:none/x.db", &make, &err), ENOENT, "none/x.db");
    assert_refused(store_open(&s, "sqlite:none.db", &use, &err), ENOENT, "none.db");
    assert_int_equal(access("none.db", F_OK), -1);
    assert_refused(store_open(&s, "sqlite:/", &make, &err), EISDIR, "/");
}

static void a_file_of_another_program_is_left_alone(void **state)
{
    const struct store_options o = {.migrate = true};
    struct error err = {0};
    struct store *s = NULL;
    sqlite3 *db;
    _buffer_ struct buffer before = {0}, after = {0};
    assert_int_equal(sqlite3_open("other.db", &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE volume (a)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_ok(read_file("other.db", 1 << 20, &before, &err));
    assert_refused(store_open(&s, "sqlite:other.db", &o, &err), EINVAL, "another program");
    assert_ok(read_file("other.db", 1 << 20, &after, &err));
    assert_true(bytes_equal(buffer_bytes(&before), buffer_bytes(&after)));
}

/* The chain would begin again in a new file, and nobody notice. */
static void a_file_that_was_removed_is_not_made_anew(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct store_record r = a_record(1, 1, true), two = a_record(2, 1, true);
    append(f->s, &r);
    assert_ok(store_begin(f->s, &err));
    assert_ok(store_audit_append(f->s, &two, &err));
    assert_int_equal(rename("store.db", "moved.db"), 0);
    assert_refused(store_commit(f->s, &err), EHOSTDOWN, "moved or removed");
    assert_refused(store_ping(f->s, &err), EHOSTDOWN, "store.db");
    assert_refused(store_begin(f->s, &err), EHOSTDOWN, "No such file");
    assert_int_equal(access("store.db", F_OK), -1);
    assert_int_equal(rename("moved.db", "store.db"), 0); /* its -wal is where it was */
    assert_int_equal(last(f->s), 1);
    assert_ok(append_next(f->s, 1, &err));
}

static void a_damaged_file_is_an_error(void **state)
{
    struct fixture *f = *state;
    const struct store_options o = {.migrate = true};
    static const char garbage[4096] = "garbage";
    struct error err = {0};
    struct store *s = NULL;
    struct store_record r = a_record(1, 1, true), got = {0};
    append(f->s, &r);
    store_close(f->s); /* all is in the file */
    for (uint64_t at = 4096; at < file_size("store.db"); at += 4096)
        write_at("store.db", garbage, sizeof(garbage), at);
    f->s = open_store(f->kind, 0);
    assert_refused(store_audit_find(f->s, r.id, &got, &err), EUCLEAN, "store.db: ");
    write_at("store.db", garbage, sizeof(garbage), 0);
    store_close(f->s);
    f->s = NULL;
    assert_refused(store_open(&s, "sqlite:store.db", &o, &err), EUCLEAN, "not a database");
}

static int fills_the_disk(const struct kind *kind, int number)
{
    struct rlimit full, before;
    struct error err = {0};
    _store_ struct store *s = NULL;
    struct stat st;
    uint64_t kept = 0;
    uint8_t hash[32];
    signal(SIGXFSZ, SIG_IGN);
    if (opened(&s, kind) < 0 || getrlimit(RLIMIT_FSIZE, &before) < 0 ||
        stat("store.db-wal", &st) < 0)
        return 1;
    full = before;
    full.rlim_cur = (rlim_t)st.st_size + 100000;
    if (setrlimit(RLIMIT_FSIZE, &full) < 0)
        return 2;
    int r = 0, n = 0;
    while ((r = append_next(s, 1, &err)) == 0)
        n++;
    if (r != -EHOSTDOWN || n == 0 || store_audit_last(s, &kept, hash, &err) < 0 ||
        kept != (uint64_t)n)
        return 3;
    /* It answers; but what has room besides does not have it for long. */
    for (n = 0; (r = store_probe(s, &err)) == 0 && n < 1000;)
        n++;
    if (r != -EHOSTDOWN || store_ping(s, &err) < 0)
        return 6;
    if (append_next(s, 1, &err) != -EHOSTDOWN || store_probe(s, &err) == 0 ||
        setrlimit(RLIMIT_FSIZE, &before) < 0)
        return 4;
    n = (int)kept;
    if (store_probe(s, &err) < 0)
        return 7;
    return append_next(s, 1, &err) == 0 && store_audit_last(s, &kept, hash, &err) == 0 &&
                   kept == (uint64_t)n + 1
               ? 0
               : 5;
}

static void a_full_disk_passes(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    children_succeed(fills_the_disk, f->kind, 1);
    assert_ok(append_next(f->s, 1, &err));
}

/* ---- PostgreSQL ---- */
static void a_server_stops_and_starts(void **state)
{
    static const char *const ends[] = {"stop", "kill"};
    struct fixture *f = *state;
    struct error err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        struct store_record r = a_record(2 * i + 1, 1, true), lost = a_record(2 * i + 2, 1, true);
        append(f->s, &r);
        assert_ok(store_begin(f->s, &err));
        assert_ok(store_audit_append(f->s, &lost, &err));
        postgres_say(&server, ends[i]);
        assert_int_equal(store_commit(f->s, &err), -EHOSTDOWN);
        assert_int_equal(store_begin(f->s, &err), -EHOSTDOWN);
        assert_int_equal(store_ping(f->s, &err), -EHOSTDOWN);
        postgres_say(&server, "start");
        until_up(f->s);
        assert_ok(store_probe(f->s, &err));
        assert_int_equal(last(f->s), 2 * i + 1);
        assert_ok(append_next(f->s, 1, &err));
    }
}

/* A session that ended while nobody used it is replaced, without an error. */
static void an_idle_connection_that_ended_is_replaced(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    postgresql_sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                   "WHERE pid <> pg_backend_pid() AND application_name = 'encroot'");
    assert_ok(append_next(f->s, 1, &err));
}

static void a_transaction_whose_session_ended_is_void(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct store_record r = a_record(1, 1, true);
    assert_ok(store_begin(f->s, &err));
    postgresql_sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                   "WHERE pid <> pg_backend_pid() AND application_name = 'encroot'");
    assert_int_equal(store_audit_append(f->s, &r, &err), -EHOSTDOWN);
    assert_refused(store_audit_append(f->s, &r, &err), EHOSTDOWN, "void");
    assert_refused(store_commit(f->s, &err), EHOSTDOWN, "void");
    assert_ok(append_next(f->s, 1, &err));
    assert_int_equal(last(f->s), 1);
}

static void a_server_that_does_not_answer_holds_nobody_up(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct store_record r = a_record(1, 1, true);
    _store_ struct store *s = open_store(f->kind, SHORT);
    bool at_once = false;
    assert_ok(store_begin(s, &err));
    assert_ok(store_audit_append(s, &r, &err));
    postgres_say(&server, "pause");
    uint64_t start = now_ms();
    int committed = store_commit(s, &err);
    uint64_t took = now_ms() - start;
    for (int i = 0; i < 20 && !at_once; i++)
        at_once = store_ping(s, &err) == -EHOSTDOWN && strstr(err.text, "next attempt");
    postgres_say(&server, "resume");
    assert_int_equal(committed, -EHOSTDOWN);
    assert_true(took < LONG_TIME);
    assert_true(at_once);
    until_up(s);
    assert_ok(append_next(s, 1, &err)); /* behind the one of which nobody can say */
}

static void a_server_may_be_started_after_us(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    f->kind->clear();
    postgres_say(&server, "stop");
    _store_ struct store *s = open_store(f->kind, 20000);
    int down = store_ping(s, &err);
    postgres_say(&server, "start");
    assert_int_equal(down, -EHOSTDOWN);
    until_up(s);
    assert_ok(append_next(s, 1, &err));
}

/* What the server says it cannot do now may pass; the rest does not. */
static void errors_of_the_server_are_told_apart(void **state)
{
    static const struct {
        const char *state;
        int code;
    } cases[] = {{"53100", EHOSTDOWN}, {"40001", EHOSTDOWN}, {"40P01", EHOSTDOWN},
                 {"57014", EHOSTDOWN}, {"58030", EHOSTDOWN}, {"XX001", EUCLEAN},
                 {"42501", EACCES},    {"22012", EIO}};
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {0};
        char sql[512];
        snprintf(sql, sizeof(sql),
                 "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger AS $$ BEGIN "
                 "RAISE EXCEPTION 'refused' USING ERRCODE = '%s'; END $$ LANGUAGE plpgsql; "
                 "CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON audit "
                 "EXECUTE FUNCTION refuse()",
                 cases[i].state);
        postgresql_sql(sql);
        assert_int_equal(append_next(f->s, 1, &err), -cases[i].code);
        assert_non_null(strstr(err.text, cases[i].state));
        assert_int_equal(last(f->s), 0);
    }
}

/* Objects of that name elsewhere, which other users of the database may make, are not found; and
 * what is set for the role does not make commits less durable. */
static void a_session_does_not_depend_on_settings(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    postgresql_sql(
        "DROP TABLE IF EXISTS public.audit; CREATE TABLE public.audit (a int); "
        "ALTER ROLE encroot SET search_path = public; "
        "ALTER ROLE encroot SET synchronous_commit = off; "
        "CREATE FUNCTION look() RETURNS trigger AS $$ BEGIN "
        "IF current_setting('synchronous_commit') <> 'on' THEN RAISE 'not durable'; "
        "END IF; RETURN NEW; END $$ LANGUAGE plpgsql; "
        "CREATE TRIGGER look BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION look()");
    _store_ struct store *s = open_store(f->kind, 0);
    int r = append_next(s, 1, &err);
    postgresql_sql("DROP TABLE public.audit; ALTER ROLE encroot RESET ALL");
    assert_ok(r);
    assert_int_equal(last(f->s), 1);
}

/* More than waits on our side, and than a socket takes. */
static void many_large_records_are_one_transaction(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    const size_t size = 300000, count = 40;
    _free_ uint8_t *text = malloc(size);
    fill_random(text, size, 1);
    assert_ok(store_begin(f->s, &err));
    for (uint64_t i = 1; i <= count; i++) {
        struct store_record r = a_record(i, 1, true);
        r.text = r.evidence = (struct buffer){.data = text, .size = size};
        assert_ok(store_audit_append(f->s, &r, &err));
    }
    assert_ok(store_commit(f->s, &err));
    struct store_record r = a_record(count, 1, true);
    _store_record_ struct store_record got = {0};
    assert_int_equal(last(f->s), count);
    assert_ok(store_audit_find(f->s, r.id, &got, &err));
    assert_true(bytes_equal(buffer_bytes(&got.evidence), BYTES(text, size)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(writers_at_once_make_one_chain),
        BOTH(a_writer_waits_for_another_and_no_longer_than_its_patience),
        BOTH(many_large_records_are_one_transaction),
        BOTH(a_killed_process_leaves_nothing_half_done),
        BOTH(brokers_that_start_at_once_make_one_schema),
        BOTH(an_older_schema_moves_forward),
        BOTH(a_newer_schema_is_refused),
        BOTH(an_empty_database_is_for_the_daemon_to_fill),
        cmocka_unit_test(a_url_that_makes_no_sense_is_refused_without_its_password),
        cmocka_unit_test(a_password_shows_in_no_error),
        SQLITE(its_files_are_for_their_owner),
        SQLITE(a_file_is_opened_as_a_file),
        SQLITE(a_missing_folder_or_file_is_named),
        SQLITE(a_file_of_another_program_is_left_alone),
        SQLITE(a_file_that_was_removed_is_not_made_anew),
        SQLITE(a_damaged_file_is_an_error),
        SQLITE(a_full_disk_passes),
        POSTGRESQL(a_server_stops_and_starts),
        POSTGRESQL(an_idle_connection_that_ended_is_replaced),
        POSTGRESQL(a_transaction_whose_session_ended_is_void),
        POSTGRESQL(a_server_that_does_not_answer_holds_nobody_up),
        POSTGRESQL(a_server_may_be_started_after_us),
        POSTGRESQL(errors_of_the_server_are_told_apart),
        POSTGRESQL(a_session_does_not_depend_on_settings),
    };
    return cmocka_run_group_tests(tests, stores_set_up, stores_tear_down);
}

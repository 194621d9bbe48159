#include "unit.h"
#include "base/findings.h"
#include "base/hex.h"
#include "base/io.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/spawn.h"
#include "base/spawn_bounded.h"

#include <sys/stat.h>

static void reader_error_is_sticky(void **state)
{
    (void)state;
    static const uint8_t data[] = {1, 2, 0, 0, 0, 9};
    struct reader r = reader_of(BYTES_OF(data));
    assert_int_equal(read_u8(&r), 1);
    assert_int_equal(read_le32(&r), 2);
    assert_int_equal(read_le16(&r), 0); /* one byte left */
    assert_int_equal(r.error, -EBADMSG);
    assert_int_equal(read_u8(&r), 0); /* the byte is there, but the error stays */
    assert_int_equal(reader_left(&r), 0);
}

static void buffer_keeps_its_maximum(void **state)
{
    (void)state;
    _buffer_ struct buffer b = {.max = 10};
    assert_int_equal(buffer_append(&b, "12345678", 8), 0);
    assert_int_equal(buffer_append(&b, "abc", 3), -EFBIG);
    assert_int_equal(b.size, 8);
    assert_int_equal(buffer_append(&b, "ab", 2), 0);
}

static void zero_scan_sees_every_byte(void **state)
{
    (void)state;
    uint8_t block[4096] = {0};
    assert_true(bytes_are_zero(block, sizeof(block)));
    for (size_t i = 0; i < sizeof(block); i += 37) {
        block[i] = 1;
        assert_false(bytes_are_zero(block, sizeof(block)));
        block[i] = 0;
    }
}

static void errors_read_from_the_outside_in(void **state)
{
    (void)state;
    struct error e = {0};
    assert_int_equal(error_set(&e, EINVAL, "bad magic %d", 7), -EINVAL);
    assert_int_equal(error_prefix(&e, -EINVAL, "%s", "disk.img"), -EINVAL);
    assert_string_equal(e.text, "disk.img: bad magic 7");
    assert_int_equal(error_prefix(&e, 0, "%s", "no error"), 0);
    assert_string_equal(e.text, "disk.img: bad magic 7");
    assert_int_equal(error_set(NULL, EIO, "nobody listens"), -EIO);
}

static void hex_and_uuid_round_trip(void **state)
{
    (void)state;
    uint8_t id[16];
    char text[UUID_TEXT_SIZE];
    assert_int_equal(uuid_parse("0FC63DAF-8483-4772-8e79-3d69d8477de4", id), 0);
    uuid_format(id, text);
    assert_string_equal(text, "0fc63daf-8483-4772-8e79-3d69d8477de4");
    assert_int_equal(uuid_parse("0fc63daf84834772-8e79-3d69d8477de4-----", id), -EINVAL);
    assert_int_equal(uuid_parse("0fc63daf-8483-4772-8e79-3d69d8477deg", id), -EINVAL);
    assert_int_equal(hex_decode("00ff1", id, 2), -EINVAL);
}

static void atomic_file_appears_whole_or_not_at_all(void **state)
{
    (void)state;
    char folder[] = "/tmp/encroot-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char path[64];
    snprintf(path, sizeof(path), "%s/out", folder);

    struct error e = {0};
    struct atomic_file f;
    assert_int_equal(atomic_file_open(&f, path, 0644, false, &e), 0);
    assert_int_equal(write_exact(f.fd, "half", 4), 0);
    atomic_file_abort(&f);
    assert_int_equal(rmdir(folder), 0); /* empty: nothing was left */
    assert_int_equal(mkdir(folder, 0700), 0);

    assert_int_equal(write_file_atomic(path, BYTES_STR("one"), 0644, false, &e), 0);
    assert_int_equal(write_file_atomic(path, BYTES_STR("two"), 0644, false, &e), -EEXIST);
    assert_int_equal(write_file_atomic(path, BYTES_STR("two"), 0644, true, &e), 0);
    _buffer_ struct buffer b = {0};
    assert_int_equal(read_file(path, 3, &b, &e), 0);
    assert_string_equal((char *)b.data, "two");
    _buffer_ struct buffer small = {0};
    assert_int_equal(read_file(path, 2, &small, &e), -EFBIG);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void spawn_reports_status_and_last_words(void **state)
{
    (void)state;
    struct error e = {0};
    _buffer_ struct buffer out = {0};
    const char *const cat[] = {"cat", NULL};
    assert_int_equal(spawn_wait(cat, NULL, -1, BYTES_STR("hello"), &out, &e), 0);
    assert_int_equal(out.size, 5);
    const char *const fail[] = {"sh", "-c", "echo one >&2; echo two >&2; exit 3", NULL};
    assert_int_equal(spawn_wait(fail, NULL, -1, BYTES_NONE, NULL, &e), 3);
    assert_non_null(strstr(e.text, "exit status 3: two"));
    const char *const missing[] = {"no-such-program", NULL};
    assert_int_equal(spawn_wait(missing, NULL, -1, BYTES_NONE, NULL, &e), -ENOENT);
}

/* Neither gone nor dead and not yet waited for. */
static bool is_running(pid_t pid)
{
    char path[64], state = 'Z';
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    _fclose_ FILE *f = fopen(path, "r");
    return f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1 && state != 'Z';
}

static int run_script(const char *script, unsigned seconds, char said[SPAWN_SAID_MAX],
                      struct error *e)
{
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
    return spawn_bounded(argv, seconds, said, e);
}

static void bounded_reports_status_and_words(void **state)
{
    (void)state;
    struct error e = {0};
    char said[SPAWN_SAID_MAX];
    char *missing[] = {(char *)"no-such-program", NULL};
    setenv("ENCROOT_TEST_WORD", "mine", 1);
    assert_int_equal(run_script("echo $ENCROOT_TEST_WORD; cat >&2; exit 3", 20, said, &e), 3);
    assert_string_equal(said, "mine\n");
    assert_int_equal(run_script("seq 100000; echo end >&2", 20, said, &e), 0);
    assert_int_equal(strlen(said), SPAWN_SAID_MAX - 1);
    assert_non_null(strstr(said, "\n100000\nend\n"));
    assert_int_equal(run_script("kill -KILL $$", 20, said, &e), -EIO);
    assert_int_equal(spawn_bounded(missing, 20, said, &e), -ENOENT);
    assert_string_equal(said, "");
}

/* What the program started is killed with it, whether it ends or must be ended. */
static void bounded_leaves_nothing_running(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        unsigned seconds;
        int expected;
    } cases[] = {
        {"sleep 600 & echo $!", 60, 0},
        {"sleep 600 & echo $!; wait", 1, -ETIMEDOUT},
        {"trap '' TERM; sleep 600 & echo $!; wait; sleep 600", 1, -ETIMEDOUT},
        {"sleep 600 & echo $!; kill -INT $PPID; wait", 60, -ECANCELED},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error e = {0};
        char said[SPAWN_SAID_MAX];
        assert_int_equal(run_script(cases[i].script, cases[i].seconds, said, &e),
                         cases[i].expected);
        pid_t orphan = (pid_t)strtol(said, NULL, 10);
        assert_true(orphan > 1);
        for (int tries = 0; tries < 200 && is_running(orphan); tries++)
            usleep(10000);
        assert_false(is_running(orphan));
    }
}

static void json_is_strict(void **state)
{
    (void)state;
    struct error e = {0};
    _json_ json_t *j = NULL;
    assert_int_equal(json_parse(&j, BYTES_STR("{\"a\":1,\"a\":2}"), "x", &e), -EINVAL);
    assert_int_equal(json_parse(&j, BYTES_STR("{} x"), "x", &e), -EINVAL);
    assert_int_equal(json_parse(&j, BYTES_STR("{\"a\":1,\"b\":\"00ff\"}"), "x", &e), 0);
    uint64_t n;
    assert_int_equal(json_get_uint(j, "a", 10, &n, "x", &e), 0);
    assert_int_equal(json_get_uint(j, "a", 0, &n, "x", &e), -EINVAL);
    assert_int_equal(json_get_uint(j, "b", 10, &n, "x", &e), -EINVAL);
    assert_int_equal(json_get_uint(j, "c", 10, &n, "x", &e), -EINVAL);
    assert_string_equal(e.text, "x: \"c\" is missing");
    const char *const known[] = {"a", NULL};
    assert_int_equal(json_only_keys(j, known, "x", &e), -EINVAL);
}

/* K5's neighbour: what a guest wrote must not drive the operator's terminal. */
static void errors_are_printable(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"plain, \xe2\x80\xa6 and \xc3\xa9", "plain, \xe2\x80\xa6 and \xc3\xa9"},
        {"\x1b]0;evil\x07\n\x7f", "?]0;evil???"},
        {"\xc2\x9b"
         "2J",
         "??2J"},
        {"\xff\xe2\x80", "???"},
        {"\xf0\x9f\x98", "???"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error e = {0};
        assert_int_equal(error_set(&e, EINVAL, "%s", cases[i].in), -EINVAL);
        assert_string_equal(e.text, cases[i].out);
        assert_int_equal(error_hint(&e, -1, "%s", cases[i].in), -1);
        assert_string_equal(e.hint, cases[i].out);
        assert_int_equal(error_prefix(&e, -1, "%s", cases[i].in), -1);
        assert_memory_equal(e.text, cases[i].out, strlen(cases[i].out));
    }
    struct error e = {0};
    _json_ json_t *j = NULL;
    const char *const known[] = {"a", NULL};
    assert_int_equal(json_parse(&j, BYTES_STR("{\"\\u001b[2J\":1}"), "x", &e), 0);
    assert_int_equal(json_only_keys(j, known, "x", &e), -EINVAL);
    assert_null(strchr(e.text, '\x1b'));
}

static void findings_start_as_reject(void **state)
{
    (void)state;
    _findings_ struct findings f = {0};
    assert_false(findings_pass(&f)); /* nothing checked is not a pass */
    finding_add(&f, "a", VERDICT_PASS, "x", "x");
    assert_true(findings_pass(&f));
    struct finding zero = {0};
    finding_add(&f, "b", zero.verdict, "x", "y");
    assert_false(findings_pass(&f));
    assert_string_equal(findings_first_reject(&f)->check, "b");
    _findings_ struct findings lost = {0};
    finding_add(&lost, "a", VERDICT_PASS, NULL, NULL);
    lost.incomplete = true;
    assert_false(findings_pass(&lost));
}

static void secret_files_have_an_exact_size(void **state)
{
    (void)state;
    char folder[] = "/tmp/encroot-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char path[64];
    snprintf(path, sizeof(path), "%s/key", folder);
    struct error e = {0};
    _secret_ struct secret *a = secret_random(32);
    _secret_ struct secret *b = NULL;
    assert_int_equal(secret_write_file(a, path, &e), 0);
    assert_int_equal(secret_write_file(a, path, &e), -EEXIST);
    assert_int_equal(secret_read_file(&b, path, 31, true, &e), -EINVAL);
    assert_int_equal(secret_read_file(&b, path, 32, true, &e), 0);
    assert_true(secret_equal(a, b));
    assert_int_equal(chmod(path, 0640), 0);
    _secret_ struct secret *c = NULL;
    assert_int_equal(secret_read_file(&c, path, 32, true, &e), -EPERM);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_error_is_sticky),
        cmocka_unit_test(buffer_keeps_its_maximum),
        cmocka_unit_test(zero_scan_sees_every_byte),
        cmocka_unit_test(errors_read_from_the_outside_in),
        cmocka_unit_test(hex_and_uuid_round_trip),
        cmocka_unit_test(atomic_file_appears_whole_or_not_at_all),
        cmocka_unit_test(spawn_reports_status_and_last_words),
        cmocka_unit_test(bounded_reports_status_and_words),
        cmocka_unit_test(bounded_leaves_nothing_running),
        cmocka_unit_test(json_is_strict),
        cmocka_unit_test(errors_are_printable),
        cmocka_unit_test(findings_start_as_reject),
        cmocka_unit_test(secret_files_have_an_exact_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

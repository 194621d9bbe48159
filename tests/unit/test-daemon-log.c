/* The broker's log and its metrics. */
#include "unit.h"
#include "daemon/log.h"
#include "daemon/metrics.h"

#include "base/io.h"
#include "base/json.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- what is written to standard error in between ---- */
static int saved, pipe_fds[2];

static void begin(void)
{
    saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(dup2(pipe_fds[1], STDERR_FILENO), STDERR_FILENO);
}

static void end(struct buffer *ret)
{
    struct error err = {0};
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(pipe_fds[1]);
    assert_int_equal(read_fd(pipe_fds[0], "log", 1 << 20, ret, &err), 0);
    assert_int_equal(buffer_append(ret, "", 1), 0);
    close(pipe_fds[0]);
}

#define written(b) ((const char *)(b).data)

static void text_lines_name_process_and_level(void **state)
{
    _buffer_ struct buffer b = {0};
    struct error err = {.text = "broker.key: Permission denied", .hint = "chmod it"};
    begin();
    unsetenv("JOURNAL_STREAM");
    log_open("front 1", false, LOG_INFO);
    log_line(LOG_INFO, "begins with %d", 3);
    log_line(LOG_DEBUG, "not to be seen");
    log_error(LOG_ERR, &err, "gate");
    end(&b);
    assert_string_equal(written(b), "front 1: begins with 3\n"
                                    "front 1: error: gate: broker.key: Permission denied "
                                    "(chmod it)\n");
}

static void the_journal_gets_levels(void **state)
{
    _buffer_ struct buffer b = {0};
    struct stat st;
    char stream[64];
    begin();
    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    snprintf(stream, sizeof(stream), "%lu:%lu", (unsigned long)st.st_dev, (unsigned long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_open("gate", false, LOG_DEBUG);
    log_line(LOG_WARNING, "one");
    log_line(LOG_DEBUG, "two");
    setenv("JOURNAL_STREAM", "1:1", 1); /* standard error is something else by now */
    log_open("gate", false, LOG_DEBUG);
    log_line(LOG_DEBUG, "three");
    end(&b);
    assert_string_equal(written(b), "<4>gate: one\n<7>gate: two\ngate: three\n");
}

static void a_line_stays_one_line(void **state)
{
    _buffer_ struct buffer b = {0};
    const struct log_field fields[] = {
        {"volume", "a b\nreleased"}, {"peer", NULL}, {"id", "1"}, {"empty", ""}, {NULL, NULL}};
    begin();
    unsetenv("JOURNAL_STREAM");
    log_open("keeper", false, LOG_INFO);
    log_event(LOG_INFO, "denied\x1b[2J\n<3>forged", fields);
    end(&b);
    assert_string_equal(written(b), "keeper: denied\\x1b[2J\\x0a<3>forged "
                                    "volume=\"a b\\x0areleased\" id=1 empty=\"\"\n");
}

static void a_value_is_one_value(void **state)
{
    _buffer_ struct buffer b = {0};
    const struct log_field fields[] = {{"detail", "version 1 \"x\" user=\"root\""},
                                       {"c1", "\xc2\x9b"
                                              "31m\xc2\xa0"},
                                       {"end", "a\\"},
                                       {NULL, NULL}};
    begin();
    log_open("admin", false, LOG_INFO);
    log_event(LOG_INFO, "it\xc2\x9b", fields);
    end(&b);
    assert_string_equal(written(b), "admin: it\\xc2\\x9b "
                                    "detail=\"version 1 \\\"x\\\" user=\\\"root\\\"\" "
                                    "c1=\\xc2\\x9b31m\xc2\xa0 end=\"a\\\\\"\n");
}

static void json_lines_are_objects(void **state)
{
    _buffer_ struct buffer b = {0};
    struct error err = {0};
    const struct log_field fields[] = {{"volume", "\xff\n"}, {"peer", NULL}, {NULL, NULL}};
    begin();
    log_open("keeper", true, LOG_INFO);
    log_event(LOG_ERR, "a \"message\"", fields);
    end(&b);
    _json_ json_t *line = NULL;
    assert_int_equal(json_parse(&line, BYTES(b.data, b.size - 1), "line", &err), 0);
    const char *text;
    assert_int_equal(json_get_string(line, "time", &text, "line", &err), 0);
    assert_int_equal(strlen(text), strlen("2026-01-01T00:00:00.000Z"));
    assert_int_equal(json_get_string(line, "level", &text, "line", &err), 0);
    assert_string_equal(text, "error");
    assert_int_equal(json_get_string(line, "process", &text, "line", &err), 0);
    assert_string_equal(text, "keeper");
    assert_int_equal(json_get_string(line, "message", &text, "line", &err), 0);
    assert_string_equal(text, "a \"message\"");
    assert_int_equal(json_get_string(line, "volume", &text, "line", &err), 0);
    assert_null(json_object_get(line, "peer"));
    assert_null(memchr(b.data, '\n', b.size - 2)); /* but the last */
}

/* ---- metrics ---- */
static void nobody_counts_without_a_page(void **state)
{
    metrics_add(METRIC_RELEASED, 1);
    assert_int_equal(metrics_get(METRIC_RELEASED), 0);
}

static void all_processes_count_together(void **state)
{
    struct error err = {0};
    int fd = -1;
    assert_int_equal(metrics_create(&fd, &err), 0);
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            if (metrics_attach(fd, true, &err) < 0)
                _exit(1);
            for (int n = 0; n < 10000; n++)
                metrics_add(METRIC_RELEASED, 1);
            _exit(0);
        }
    }
    int status;
    while (wait(&status) > 0)
        assert_int_equal(status, 0);
    assert_int_equal(metrics_get(METRIC_RELEASED), 40000);
    assert_int_equal(ftruncate(fd, 0), -1); /* no process takes the page from the others */
    assert_int_equal(errno, EPERM);
    if (fork() == 0) {
        if (metrics_attach(fd, false, &err) < 0)
            _exit(1);
        metrics_add(METRIC_RELEASED, 1); /* one that only reads does not crash, either */
        metrics_set(METRIC_RELEASED, 0);
        _exit(metrics_get(METRIC_RELEASED) == 40000 ? 0 : 1);
    }
    assert_true(wait(&status) > 0);
    assert_int_equal(status, 0);
    close(fd);
}

static void text_is_what_prometheus_reads(void **state)
{
    struct error err = {0};
    int fd = -1;
    _buffer_ struct buffer b = {0};
    assert_int_equal(metrics_create(&fd, &err), 0);
    close(fd);
    metrics_set(METRIC_STORE_UP, 1);
    metrics_add(METRIC_COMMIT_MICROSECONDS, 12000345);
    metrics_add(METRIC_DENIED, 7);
    assert_int_equal(metrics_format(&b, &err), 0);
    assert_int_equal(buffer_append(&b, "", 1), 0);
    assert_non_null(strstr(written(b), "\nencroot_store_up 1\n"));
    assert_non_null(strstr(written(b), "# TYPE encroot_store_up gauge\n"));
    assert_non_null(strstr(written(b), "\nencroot_commit_seconds_total 12.000345\n"));
    assert_non_null(strstr(written(b), "\nencroot_denied_total 7\n"));
    assert_non_null(
        strstr(written(b), "\nencroot_build_info{version=\"" ENCROOT_VERSION "\"} 1\n"));
    size_t helps = 0, types = 0, lines = 0;
    for (char *line = strtok((char *)b.data, "\n"); line; line = strtok(NULL, "\n")) {
        helps += strncmp(line, "# HELP encroot_", 15) == 0;
        types += strncmp(line, "# TYPE encroot_", 15) == 0;
        lines++;
        assert_null(strstr(line, "(null)"));
    }
    assert_int_equal(helps, METRIC_COUNT + 1);
    assert_int_equal(types, METRIC_COUNT + 1);
    assert_int_equal(lines, 3 * (METRIC_COUNT + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_lines_name_process_and_level),
        cmocka_unit_test(the_journal_gets_levels),
        cmocka_unit_test(a_line_stays_one_line),
        cmocka_unit_test(a_value_is_one_value),
        cmocka_unit_test(json_lines_are_objects),
        cmocka_unit_test(nobody_counts_without_a_page),
        cmocka_unit_test(all_processes_count_together),
        cmocka_unit_test(text_is_what_prometheus_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

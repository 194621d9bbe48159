#include "unit.h"
#include "base/io.h"
#include "cli/findings_print.h"
#include "cli/inspect.h"
#include "event_log_writer.h"

static bool read_shared(const char *name, struct buffer *ret)
{
    const char *folder = getenv("ENCROOT_SHARED_DATA");
    char path[4096];
    snprintf(path, sizeof(path), "%s%s/%s", folder ? folder : getenv("ENCROOT_SOURCE"),
             folder ? "" : "/../shared/data", name);
    if (access(path, R_OK) != 0) {
        fprintf(stderr, "skipped: %s is not there\n", path);
        return false;
    }
    struct error e = {0};
    assert_int_equal(read_file(path, 1 << 20, ret, &e), 0);
    return true;
}

static void print_to(char **text, size_t *size, void (*print)(FILE *out, const void *what),
                     const void *what)
{
    FILE *out = open_memstream(text, size);
    assert_non_null(out);
    print(out, what);
    assert_int_equal(fclose(out), 0);
}

static void print_all_findings(FILE *out, const void *f)
{
    findings_print(out, f, FINDINGS_ALL);
}

static void print_rejected_findings(FILE *out, const void *f)
{
    findings_print(out, f, FINDINGS_REJECTED);
}

static void print_object(FILE *out, const void *object)
{
    inspect_print(out, object);
}

static void findings_are_printed_with_what_to_do(void **state)
{
    (void)state;
    _findings_ struct findings f = {0};
    _free_ char *all = NULL;
    _free_ char *rejected = NULL;
    size_t size;
    finding_add(&f, "rim", VERDICT_PASS, "aa", "aa");
    finding_add(&f, "boot.cmdline", VERDICT_REJECT, "quiet", "added: \x1b[2J\xc2\x9bx");
    finding_remedy(&f, "measure it");
    print_to(&all, &size, print_all_findings, &f);
    print_to(&rejected, &size, print_rejected_findings, &f);
    assert_string_equal(all, "pass    rim\n"
                             "        found     aa\n"
                             "reject  boot.cmdline\n"
                             "        expected  quiet\n"
                             "        found     added: \\x1b[2J\\xc2\\x9bx\n"
                             "        remedy    measure it\n"
                             "verdict: reject (1 passed, 0 waived, 1 rejected)\n");
    assert_null(strstr(rejected, "rim"));
    assert_non_null(strstr(rejected, "measure it"));
}

static void no_findings_are_no_pass(void **state)
{
    (void)state;
    struct findings f = {0};
    _free_ char *text = NULL;
    size_t size;
    print_to(&text, &size, print_all_findings, &f);
    assert_string_equal(text, "verdict: reject (0 passed, 0 waived, 0 rejected)\n");
    _json_ json_t *j = findings_json(&f);
    assert_string_equal(json_string_value(json_object_get(j, "verdict")), "reject");
}

static void findings_that_are_no_utf8_are_still_json(void **state)
{
    (void)state;
    _findings_ struct findings f = {0};
    finding_add(&f, "x", VERDICT_REJECT, NULL, "a\xff");
    _json_ json_t *j = findings_json(&f);
    json_t *n = json_array_get(json_object_get(j, "findings"), 0);
    assert_string_equal(json_string_value(json_object_get(n, "found")), "a\\xff");
    assert_null(json_object_get(n, "expected"));
    assert_string_equal(json_string_value(json_object_get(n, "verdict")), "reject");
}

static const char *text_at(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    assert_non_null(s);
    return s;
}

static void event_logs_are_readable(void **state)
{
    (void)state;
    _buffer_ struct buffer log = {0};
    _json_ json_t *j = NULL;
    struct error e = {0};
    uint8_t digest[32] = {0xab};
    writer_begin(&log);
    writer_add(&log, 9, EV_IPL, digest, BYTES("/x\x1b\0", 4));
    writer_add(&log, 9, 0x99, digest, BYTES_NONE);
    assert_int_equal(inspect_event_log(&j, buffer_bytes(&log), true, &e), 0);
    json_t *events = json_object_get(j, "events");
    assert_string_equal(text_at(j, "bank"), "sha-256");
    assert_int_equal(json_array_size(events), 2);
    assert_string_equal(text_at(json_array_get(events, 0), "index"), "PCR 9");
    assert_string_equal(text_at(json_array_get(events, 0), "type"), "EV_IPL");
    assert_string_equal(text_at(json_array_get(events, 0), "data"), "/x\\x1b");
    assert_string_equal(text_at(json_array_get(events, 1), "type"), "0x99");
    assert_int_equal(strncmp(text_at(json_array_get(events, 0), "digest"), "ab00", 4), 0);
    json_t *other = NULL;
    assert_int_equal(inspect_event_log(&other, BYTES_STR("no log"), true, &e), -EBADMSG);
    assert_null(other);
}

static void real_log_is_readable(void **state)
{
    (void)state;
    _buffer_ struct buffer log = {0};
    _json_ json_t *j = NULL;
    struct error e = {0};
    if (!read_shared("eventlogs/grub-secureboot.bin", &log))
        skip();
    assert_int_equal(inspect_event_log(&j, buffer_bytes(&log), true, &e), 0);
    json_t *events = json_object_get(j, "events");
    assert_int_equal(json_array_size(events), 61);
    assert_string_equal(text_at(json_array_get(events, 32), "data"), "\\EFI\\BOOT\\BOOTX64.EFI");
    assert_string_equal(text_at(json_array_get(events, 3), "data"), "variable SecureBoot, 1 bytes");
    assert_string_equal(
        text_at(json_object_get(json_object_get(j, "replayed"), "sha-256"), "PCR 9"),
        "7692cc8e73ea0d71f607aaa6feb73e6a7879bd50a9d09693962b206b75d54203");
}

static void real_tokens_are_readable(void **state)
{
    (void)state;
    _buffer_ struct buffer cvm = {0};
    _buffer_ struct buffer both = {0};
    _json_ json_t *j = NULL;
    _json_ json_t *k = NULL;
    struct error e = {0};
    if (!read_shared("tokens/virtcca-cvm-rsa.cbor", &cvm) ||
        !read_shared("tokens/cca-token-01.cbor", &both))
        skip();
    assert_int_equal(inspect_token(&j, buffer_bytes(&cvm), &e), 0);
    assert_int_equal(strncmp(text_at(json_object_get(j, "cvm"), "initial"), "7309ec52", 8), 0);
    assert_true(json_is_true(json_object_get(json_object_get(j, "cvm"), "payload_wrapped_twice")));
    assert_null(json_object_get(j, "platform"));
    assert_int_equal(inspect_token(&k, buffer_bytes(&both), &e), 0);
    assert_non_null(json_object_get(json_object_get(k, "platform"), "lifecycle"));
    _free_ char *text = NULL;
    size_t size;
    print_to(&text, &size, print_object, k);
    assert_non_null(strstr(text, "platform:\n"));
    assert_non_null(strstr(text, "        rem0: "));
}

static void real_certificate_is_readable(void **state)
{
    (void)state;
    _buffer_ struct buffer in = {0};
    _json_ json_t *j = NULL;
    struct error e = {0};
    if (!read_shared("tokens/virtcca-aik-cert.der", &in))
        skip();
    assert_int_equal(inspect_certificate(&j, buffer_bytes(&in), &e), 0);
    assert_non_null(strstr(text_at(j, "issuer"), "Huawei IT Product CA"));
    assert_string_equal(text_at(j, "key"), "RSA, 4096 bits");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(findings_are_printed_with_what_to_do),
        cmocka_unit_test(no_findings_are_no_pass),
        cmocka_unit_test(findings_that_are_no_utf8_are_still_json),
        cmocka_unit_test(event_logs_are_readable),
        cmocka_unit_test(real_log_is_readable),
        cmocka_unit_test(real_tokens_are_readable),
        cmocka_unit_test(real_certificate_is_readable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

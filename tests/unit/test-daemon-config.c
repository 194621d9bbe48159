#include "unit.h"
#include "daemon/config.h"

#include "base/io.h"
#include "cli/encrootd_conf.h"

#include <stdio.h>
#include <syslog.h>

#define PIN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int parse(const char *text, struct daemon_config *c, struct error *err)
{
    return config_parse(c, BYTES_STR(text), "x.conf", "/etc/encroot", err);
}

static void nothing_is_a_configuration(void **state)
{
    struct daemon_config c;
    struct error err = {0};
    assert_int_equal(parse("", &c, &err), 0);
    assert_true(c.name && c.name[0]);
    assert_int_equal(c.listen_count, 1);
    assert_string_equal(c.listen[0].host, "::");
    assert_int_equal(c.listen[0].port, 7221);
    assert_string_equal(c.key, "/etc/encroot/broker.key");
    assert_string_equal(c.certificate, "/etc/encroot/broker.crt");
    assert_in_range(c.workers, 1, 8);
    assert_int_equal(c.max_connections, 16384);
    assert_int_equal(c.request_seconds, 60);
    assert_int_equal(c.handshake_seconds, 10);
    assert_string_equal(c.store, "sqlite:/etc/encroot/broker.db");
    assert_null(c.store_password_file);
    assert_int_equal(c.kek_count, 1);
    assert_string_equal(c.keks[0], "file:/etc/encroot/vault.kek");
    assert_int_equal(c.evidence_keep, EVIDENCE_KEEP_REFUSED);
    assert_int_equal(c.evidence_days, 30);
    assert_int_equal(c.evidence_megabytes, 1024);
    assert_int_equal(c.refusals_megabytes, 256);
    assert_int_equal(c.approval_seconds, 600);
    assert_string_equal(c.admin_socket, "/etc/encroot/admin.sock");
    assert_null(c.admin_group);
    assert_int_equal(c.admin_listen_count, 0);
    assert_string_equal(c.admin_key, "/etc/encroot/admin.key");
    assert_int_equal(c.client_count, 0);
    assert_int_equal(c.monitor_listen_count, 1);
    assert_string_equal(c.monitor_listen[0].host, "127.0.0.1");
    assert_false(c.log_json);
    assert_int_equal(c.log_level, LOG_INFO);
    config_free(&c);
}

static void reads_every_key(void **state)
{
    static const char text[] =
        "# a comment\n\nname = north-1 # another\n\tlisten=10.0.0.1:1\r\nlisten = [fe80::1]:65535\n"
        "key = /k#1\ncertificate = c.pem\nworkers = 64\nmax-connections = 100\n"
        "request-seconds = 5\nhandshake-seconds = 4\nstore = postgresql://db/encroot\n"
        "store-password-file = pw\nkek-old = file:/old1\nkek = pkcs11:token=t;object=o\n"
        "kek-old = credential:old2\nevidence-keep = all\nevidence-days = 1\nevidence-megabytes = "
        "16\napproval-seconds = 7\n"
        "admin-socket = /run/a.sock\nadmin-group = ops\nreader-group = staff\n"
        "admin-listen = 0.0.0.0:8443\nadmin-key = ak\nadmin-certificate = ac\n"
        "admin-client = reader sha256:" PIN " alice@example\nmonitor-listen = [::1]:0\n"
        "log = json\nlog-level = debug";
    struct daemon_config c;
    struct error err = {0};
    if (parse(text, &c, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(c.name, "north-1");
    assert_int_equal(c.listen_count, 2);
    assert_string_equal(c.listen[0].host, "10.0.0.1");
    assert_int_equal(c.listen[0].port, 1);
    assert_string_equal(c.listen[1].host, "fe80::1");
    assert_int_equal(c.listen[1].port, 65535);
    assert_string_equal(c.key, "/k#1");
    assert_string_equal(c.certificate, "/etc/encroot/c.pem");
    assert_int_equal(c.workers, 64);
    assert_int_equal(c.max_connections, 100);
    assert_int_equal(c.request_seconds, 5);
    assert_int_equal(c.handshake_seconds, 4);
    assert_string_equal(c.store, "postgresql://db/encroot");
    assert_string_equal(c.store_password_file, "/etc/encroot/pw");
    assert_int_equal(c.kek_count, 3);
    assert_string_equal(c.keks[0], "pkcs11:token=t;object=o");
    assert_string_equal(c.keks[1], "file:/old1");
    assert_string_equal(c.keks[2], "credential:old2");
    assert_int_equal(c.evidence_keep, EVIDENCE_KEEP_ALL);
    assert_int_equal(c.evidence_days, 1);
    assert_int_equal(c.evidence_megabytes, 16);
    assert_int_equal(c.approval_seconds, 7);
    assert_string_equal(c.admin_socket, "/run/a.sock");
    assert_string_equal(c.admin_group, "ops");
    assert_string_equal(c.reader_group, "staff");
    assert_int_equal(c.admin_listen[0].port, 8443);
    assert_string_equal(c.admin_key, "/etc/encroot/ak");
    assert_string_equal(c.admin_certificate, "/etc/encroot/ac");
    assert_int_equal(c.client_count, 1);
    assert_int_equal(c.clients[0].role, ADMIN_READER);
    assert_int_equal(c.clients[0].pin[31], 0xef);
    assert_string_equal(c.clients[0].name, "alice@example");
    assert_int_equal(c.monitor_listen_count, 1);
    assert_int_equal(c.monitor_listen[0].port, 0);
    assert_true(c.log_json);
    assert_int_equal(c.log_level, LOG_DEBUG);
    config_free(&c);
}

#define LONG_NAME "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" /* 65 */
#define LISTEN_9                                                                                   \
    "listen=[::]:1\nlisten=[::]:2\nlisten=[::]:3\nlisten=[::]:4\nlisten=[::]:5\n"                  \
    "listen=[::]:6\nlisten=[::]:7\nlisten=[::]:8\nlisten=[::]:9\n"
#define KEKS_9                                                                                     \
    "kek-old=file:1\nkek-old=file:2\nkek-old=file:3\nkek-old=file:4\nkek-old=file:5\n"             \
    "kek-old=file:6\nkek-old=file:7\nkek-old=file:8\n"

static const struct mistake {
    const char *text, *found; /* what the error must say */
} mistakes[] = {
    {"\n\nworker = 3\n", "x.conf: line 3: unknown key \"worker\"; did you mean \"workers\"?"},
    {"lisetn = [::]:1\n", "did you mean \"listen\"?"},
    {"colour = red\n", "line 1: unknown key \"colour\""},
    {"workers = 3\n# between\nworkers = 3\n",
     "line 3: \"workers\" is there twice, first in line 1"},
    {"kek = file:a\nkek = file:b\n", "line 2: \"kek\" is there twice"},
    {"workers\n", "line 1: expected \"key = value\", found \"workers\""},
    {"workers =\n", "line 1: \"workers\" has no value"},
    {"workers = # none\n", "\"workers\" has no value"},
    {"= 3\n", "unknown key \"\""},
    {"workers = 0\n", "line 1: workers: expected a whole number from 1 to 64, found \"0\""},
    {"workers = 65\n", "expected a whole number from 1 to 64"},
    {"workers = 18446744073709551617\n", "expected a whole number from 1 to 64"},
    {"workers = -1\n", "expected a whole number from 1 to 64"},
    {"workers = 3x\n", "expected a whole number from 1 to 64"},
    {"workers = 3 4\n", "found \"3 4\""},
    {"max-connections = 1048577\n", "from 1 to 1048576"},
    {"evidence-days = 3651\n", "from 1 to 3650"},
    {"evidence-megabytes = 15\n", "from 16 to 1048576"},
    {"refusals-megabytes = 0\n", "from 1 to 1048576"},
    {"log = xml\n", "log: expected one of text, json; found \"xml\""},
    {"log-level = notice\n", "expected one of error, warning, info, debug"},
    {"evidence-keep = some\n", "expected one of refused, all, none"},
    {"listen = 7221\n", "listen: expected ADDRESS:PORT or [IPV6]:PORT, found \"7221\""},
    {"listen = localhost:7221\n", "names are not looked up"},
    {"listen = ::1:7221\n", "an IPv6 address stands in brackets, \"[::1]:7221\""},
    {"listen = [127.0.0.1]:1\n", "is not an address"},
    {"listen = [::1]\n", "expected ADDRESS:PORT"},
    {"listen = [::1\n", "expected ADDRESS:PORT"},
    {"listen = 127.0.0.1:65536\n", "expected a port from 0 to 65535, found \"65536\""},
    {"listen = 127.0.0.1:\n", "expected a port"},
    {"listen = 127.0.0.1:1\nlisten = 127.0.0.1:1\n", "line 2: listen: 127.0.0.1:1 is there twice"},
    {LISTEN_9, "line 9: listen: at most 8"},
    {KEKS_9, "line 8: kek-old: at most 7"},
    {"store = mysql:x\n", "expected sqlite:PATH or postgresql://HOST/DATABASE"},
    {"store = sqlite:\n", "expected a path behind \"sqlite:\""},
    {"kek = vault.kek\n", "kek: expected file:PATH, credential:NAME or pkcs11:..."},
    {"kek = credential:\n", "kek: expected file:PATH"},
    {"name = " LONG_NAME "\n", "at most 64 bytes"},
    {"admin-group = a,b\n", "the name of one group"},
    {"admin-socket = /" LONG_NAME LONG_NAME "\n", "a socket's path has at most 107 bytes"},
    {"admin-client = admin\n", "expected admin|reader sha256:HEX NAME"},
    {"admin-client = root sha256:" PIN " a\n", "found \"root\""},
    {"admin-client = admin sha256:0123 a\n", "64 hexadecimal digits, found \"sha256:0123\""},
    {"admin-client = admin " PIN " a\n", "expected sha256: and 64 hexadecimal digits"},
    {"admin-client = admin sha256:" PIN " a b\n", "NAME has no space"},
    {"admin-client = admin sha256:" PIN " " LONG_NAME "\n", "at most 63"},
    {"admin-client = admin sha256:" PIN " a\nadmin-client = reader sha256:" PIN " b\n",
     "line 2: admin-client: the key of b is that of a, too"},
    {"admin-listen = [::]:1\n", "x.conf: admin-listen without any admin-client"},
    {"request-seconds = 5\nhandshake-seconds = 6\n",
     "x.conf: handshake-seconds (6) must not exceed request-seconds (5)"},
    {"workers = 2\nmax-connections = 1\n", "max-connections (1) must not be below workers (2)"},
    {"name = a\x01\n", "line 1: byte 9 is a control character"},
};

static void each_mistake_is_named(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++) {
        struct daemon_config c = {.workers = 77};
        struct error err = {0};
        if (parse(mistakes[i].text, &c, &err) != -EINVAL)
            fail_msg("accepted, or another error (%s): %s", err.text, mistakes[i].text);
        if (!strstr(err.text, mistakes[i].found) || strncmp(err.text, "x.conf: ", 8) != 0)
            fail_msg("expected \"%s\", found \"%s\"", mistakes[i].found, err.text);
        assert_int_equal(c.workers, 77);
    }
}

static void passwords_are_not_repeated(void **state)
{
    struct daemon_config c;
    struct error err = {0};
    assert_true(parse("store = postgres//me:secret@db/x\n", &c, &err) < 0);
    assert_null(strstr(err.text, "secret"));
}

static void nul_and_long_lines_are_refused(void **state)
{
    struct daemon_config c;
    struct error err = {0};
    assert_int_equal(config_parse(&c, BYTES("workers = 3\0\n", 13), "x", "/", &err), -EINVAL);
    assert_non_null(strstr(err.text, "control character"));
    char line[5000];
    memset(line, '#', sizeof(line));
    assert_int_equal(config_parse(&c, BYTES(line, sizeof(line)), "x", "/", &err), -EINVAL);
    assert_non_null(strstr(err.text, "5000 bytes long"));
}

static void short_deadlines_bound_the_handshake(void **state)
{
    struct daemon_config c;
    struct error err = {0};
    assert_int_equal(parse("request-seconds = 3\n", &c, &err), 0);
    assert_int_equal(c.handshake_seconds, 3);
    config_free(&c);
}

/* ---- the manual and the program agree ---- */
static void source_file(const char *path, struct buffer *ret)
{
    char full[4096];
    struct error err = {0};
    const char *top = getenv("ENCROOT_SOURCE");
    snprintf(full, sizeof(full), "%s/%s", top ? top : ".", path);
    if (read_file(full, 1 << 20, ret, &err) < 0 || buffer_append(ret, "", 1) < 0)
        fail_msg("%s", err.text);
}

static bool is_known(const char *key)
{
    struct daemon_config c;
    struct error err = {0};
    char text[80];
    snprintf(text, sizeof(text), "%s =\n", key);
    assert_true(parse(text, &c, &err) < 0);
    return strstr(err.text, "has no value");
}

static void the_manual_has_each_key_and_no_other(void **state)
{
    _buffer_ struct buffer manual = {0}, program = {0};
    size_t documented = 0, there = 0;
    source_file("man/encrootd.conf.5", &manual);
    source_file("src/daemon/config.c", &program);
    for (char *p = (char *)manual.data; (p = strstr(p, ".TP\n.B ")); p++) {
        char key[64], *to = key;
        for (const char *from = p + 7; *from != '\n' && *from != ' '; from++)
            if (*from != '\\')
                *to++ = *from;
        *to = '\0';
        documented++;
        if (!is_known(key))
            fail_msg("the manual has \"%s\", which is no key", key);
    }
    for (char *p = (char *)program.data; (p = strstr(p, "{\"")); p++)
        there += strstr(p, "config_set_") && strstr(p, "config_set_") < strchr(p, '\n');
    assert_int_equal(documented, there);
    assert_true(there > 20);
}

/* Line by line, so that an error of a process names the line that the file has. */
static void passwords_are_not_public(void **state)
{
    static const char text[] =
        "# store = postgresql://u:hunter2@db/encroot\nname = a # not hunter2\n"
        " store\t= postgresql://u:hunter2@db/encroot\nkek=pkcs11:object=k?pin-value=hunter2\n"
        "kek-old = pkcs11:object=o?pin-value=hunter2\r\n\nworkers = 3\nlisten=127.0.0.1:1";
    _buffer_ struct buffer out = {0};
    struct daemon_config c;
    struct error err = {0};
    assert_int_equal(config_public_text(BYTES_STR(text), &out, &err), 0);
    assert_int_equal(buffer_append(&out, "", 1), 0);
    assert_string_equal((char *)out.data, "\nname = a\n\n\n\n\nworkers = 3\nlisten=127.0.0.1:1\n");
    assert_int_equal(parse((char *)out.data, &c, &err), 0);
    assert_int_equal(c.workers, 3);
    config_free(&c);
}

/* What `encroot init` writes runs as it is; what it shows as comments is what it says. */
static void the_one_of_init_is_one(void **state)
{
    struct daemon_config c;
    struct error err = {0};
    if (parse(encrootd_conf, &c, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(c.key, "/etc/encroot/broker.key");
    assert_string_equal(c.certificate, "/etc/encroot/broker.crt");
    assert_string_equal(c.store, "sqlite:/etc/encroot/broker.db");
    assert_string_equal(c.keks[0], "file:/etc/encroot/vault.kek");
    assert_int_equal(c.kek_count, 1);
    assert_string_equal(c.admin_socket, "/etc/encroot/admin.sock");
    assert_int_equal(c.listen_count, 1);
    assert_int_equal(c.listen[0].port, 7221);
    assert_int_equal(c.monitor_listen[0].port, 7222);
    config_free(&c);
    /* "#key = value" without its "#", all but the examples that need a pin. */
    _free_ char *text = strdup(encrootd_conf);
    for (char *p = text; (p = strstr(p, "\n#")); p++)
        if (p[2] >= 'a' && p[2] <= 'z' && strncmp(p + 2, "admin-client", 12) != 0 &&
            strncmp(p + 2, "admin-listen", 12) != 0)
            p[1] = ' ';
    if (parse(text, &c, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(c.max_connections, 16384);
    assert_int_equal(c.request_seconds, 60);
    assert_int_equal(c.handshake_seconds, 10);
    assert_int_equal(c.evidence_keep, EVIDENCE_KEEP_REFUSED);
    assert_int_equal(c.evidence_days, 30);
    assert_int_equal(c.approval_seconds, 600);
    assert_int_equal(c.kek_count, 2);
    assert_int_equal(c.log_level, LOG_INFO);
    config_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_a_configuration),
        cmocka_unit_test(reads_every_key),
        cmocka_unit_test(each_mistake_is_named),
        cmocka_unit_test(passwords_are_not_repeated),
        cmocka_unit_test(passwords_are_not_public),
        cmocka_unit_test(nul_and_long_lines_are_refused),
        cmocka_unit_test(short_deadlines_bound_the_handshake),
        cmocka_unit_test(the_manual_has_each_key_and_no_other),
        cmocka_unit_test(the_one_of_init_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

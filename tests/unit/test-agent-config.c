#include "unit.h"
#include "protocol/agent_config.h"

#include "base/bytes.h"

static const char good[] =
    "{\"version\": 1,"
    " \"volume\": {\"uuid\": \"00112233-4455-8677-8899-aabbccddeeff\","
    "   \"partition\": \"12345678-9abc-4def-8123-456789abcdef\","
    "   \"cipher\": \"aes-xts-plain64\", \"sector_size\": 4096,"
    "   \"data_offset\": 16777216, \"data_size\": 1073741824},"
    " \"root\": {\"type\": \"ext4\", \"read_only\": true, \"flags\": \"errors=remount-ro\"},"
    " \"broker\": {\"pins\": [\""
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"], \"listen_port\": 7220,"
    "   \"endpoints\": [{\"host\": \"keys.example.org\", \"port\": 7221},"
    "     {\"host\": \"2001:db8::7\", \"port\": 8443}]},"
    " \"deadline\": 900, \"on_failure\": \"reboot\","
    " \"modules\": [{\"path\": \"/lib/modules/a.ko\", \"aliases\": [], \"depends\": []},"
    "   {\"path\": \"/lib/modules/b.ko\", \"aliases\": [\"virtio:d00000001v*\"],"
    "    \"depends\": [\"/lib/modules/a.ko\"]}]}";

static int parse(const char *text, struct agent_config *c, struct error *err)
{
    return agent_config_parse(c, BYTES_STR(text), err);
}

static void reads_every_member(void **state)
{
    (void)state;
    struct agent_config c;
    struct error err = {0};
    assert_int_equal(parse(good, &c, &err), 0);
    assert_int_equal(c.volume_uuid[15], 0xff);
    assert_int_equal(c.partition_uuid[0], 0x12);
    assert_string_equal(c.cipher, "aes-xts-plain64");
    assert_int_equal(c.sector_size, 4096);
    assert_int_equal(c.data_offset, 16777216);
    assert_int_equal(c.data_size, 1073741824);
    assert_string_equal(c.root_type, "ext4");
    assert_true(c.root_read_only);
    assert_string_equal(c.root_flags, "errors=remount-ro");
    assert_int_equal(c.pin_count, 1);
    assert_int_equal(c.pins[0][31], 0xef);
    assert_int_equal(c.listen_port, 7220);
    assert_int_equal(c.broker_count, 2);
    assert_string_equal(c.brokers[0].host, "keys.example.org");
    assert_int_equal(c.brokers[0].port, AGENT_BROKER_PORT);
    assert_string_equal(c.brokers[1].host, "2001:db8::7");
    assert_int_equal(c.brokers[1].port, 8443);
    assert_int_equal(c.deadline, 900);
    assert_int_equal(c.on_failure, AGENT_REBOOT);
    assert_int_equal(c.module_count, 2);
    assert_null(c.modules[0].aliases[0]);
    assert_string_equal(c.modules[1].aliases[0], "virtio:d00000001v*");
    assert_string_equal(c.modules[1].depends[0], "/lib/modules/a.ko");
    agent_config_free(&c);
}

static void formats_what_it_reads(void **state)
{
    (void)state;
    struct agent_config c;
    struct agent_config again;
    assert_int_equal(parse(good, &c, NULL), 0);
    _buffer_ struct buffer first = {0};
    _buffer_ struct buffer second = {0};
    assert_int_equal(agent_config_format(&c, &first, NULL), 0);
    assert_int_equal(agent_config_parse(&again, buffer_bytes(&first), NULL), 0);
    assert_int_equal(agent_config_format(&again, &second, NULL), 0);
    assert_true(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)));
    assert_string_equal(again.modules[1].depends[0], "/lib/modules/a.ko");
    assert_int_equal(again.on_failure, AGENT_REBOOT);
    agent_config_free(&c);
    agent_config_free(&again);
}

static void format_refuses_what_the_agent_would_refuse(void **state)
{
    (void)state;
    struct agent_config c;
    _buffer_ struct buffer out = {0};
    struct error err = {0};
    assert_int_equal(parse(good, &c, NULL), 0);
    free(c.cipher);
    c.cipher = strdup("cipher_null-ecb");
    assert_int_equal(agent_config_format(&c, &out, &err), -EINVAL);
    assert_int_equal(out.size, 0);
    agent_config_free(&c);
}

/* One edit of the good text each; the error must name the member. */
static const struct {
    const char *from;
    const char *to;
    const char *named;
} defects[] = {
    {"\"version\": 1", "\"version\": 2", "version"},
    {"\"deadline\": 900,", "", "deadline"},
    {"\"deadline\": 900,", "\"deadline\": 0,", "deadline"},
    {"\"deadline\": 900,", "\"deadline\": 900, \"shell\": true,", "shell"},
    {"aes-xts-plain64", "cipher_null-ecb", "cipher"},
    {"aes-xts-plain64", "null", "cipher"},
    {"\"sector_size\": 4096", "\"sector_size\": 1024", "sector_size"},
    {"\"data_offset\": 16777216", "\"data_offset\": 16777217", "data_offset"},
    {"\"data_offset\": 16777216", "\"data_offset\": 0", "data_offset"},
    {"\"data_size\": 1073741824", "\"data_size\": 1073741825", "data_size"},
    {"\"data_size\": 1073741824", "\"data_size\": -4096", "data_size"},
    {"\"data_size\": 1073741824", "\"data_size\": 0", "data_size"},
    {"8677-8899", "8677_8899", "uuid"},
    {"12345678-9abc", "2345678-9abc", "partition"},
    {"\"ext4\"", "\"../ext4\"", "type"},
    {"\"read_only\": true", "\"read_only\": 1", "read_only"},
    {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"]",
     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\"]", "pins"},
    {"\"listen_port\": 7220", "\"listen_port\": 65536", "listen_port"},
    {"\"listen_port\": 7220", "\"listen_port\": 7220, \"dial\": []", "dial"},
    {"\"endpoints\"", "\"endpoint\"", "endpoint"},
    {"\"keys.example.org\"", "\"keys.example.org.\"", "endpoint 0: \"host\""},
    {"\"keys.example.org\"", "\"10.0.0.256\"", "endpoint 0: \"host\""},
    {"\"keys.example.org\"", "7", "host"},
    {"{\"host\": \"keys.example.org\", \"port\": 7221}", "\"keys.example.org\"", "endpoint 0"},
    {"2001:db8::7", "fe80::7", "endpoint 1: \"host\""},
    {"\"port\": 8443", "\"port\": 0", "endpoint 1: \"port\""},
    {"\"port\": 8443", "\"port\": 65536", "port"},
    {"\"2001:db8::7\", \"port\": 8443", "\"Keys.example.org\", \"port\": 7221", "listed twice"},
    {"\"reboot\"", "\"shell\"", "on_failure"},
    {"\"/lib/modules/b.ko\"", "\"/lib/modules/a.ko\"", "listed twice"},
    {"\"/lib/modules/b.ko\"", "\"/lib/../b.ko\"", "path"},
    {"\"/lib/modules/b.ko\"", "\"b.ko\"", "path"},
    {"\"depends\": [\"/lib/modules/a.ko\"]", "\"depends\": [\"/lib/modules/c.ko\"]", "c.ko"},
    {"\"depends\": [\"/lib/modules/a.ko\"]", "\"depends\": [\"/lib/modules/b.ko\"]", "b.ko"},
    {"\"version\": 1,", "\"version\": 1, \"version\": 1,", "duplicate"},
};

static void names_every_defect(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(defects); i++) {
        const char *at = strstr(good, defects[i].from);
        assert_non_null(at);
        char text[sizeof(good) + 256];
        snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, defects[i].to,
                 at + strlen(defects[i].from));
        struct agent_config c;
        struct error err = {0};
        if (parse(text, &c, &err) != -EINVAL || !strstr(err.text, defects[i].named))
            fail_msg("%s -> %s: %s", defects[i].from, defects[i].to, err.text);
    }
}

/* An agent that neither listens nor dials would wait for nothing. */
static void somebody_must_connect(void **state)
{
    (void)state;
    struct agent_config c;
    struct error err = {0};
    _buffer_ struct buffer out = {0};
    assert_int_equal(parse(good, &c, NULL), 0);
    c.listen_port = 0;
    assert_int_equal(agent_config_format(&c, &out, &err), 0);
    c.broker_count = 0;
    assert_int_equal(agent_config_format(&c, &out, &err), -EINVAL);
    assert_non_null(strstr(err.text, "listen_port"));
    c.listen_port = 7220;
    assert_int_equal(agent_config_format(&c, &out, &err), 0);
    agent_config_free(&c);
}

static void no_more_brokers_than_there_is_room_for(void **state)
{
    (void)state;
    const char *at = strstr(good, "{\"host\"");
    struct agent_config c;
    struct error err = {0};
    for (int n = 0; n <= 2; n++) { /* beside the two */
        char text[sizeof(good) + 1024];
        size_t size = (size_t)(at - good);
        memcpy(text, good, size);
        for (int i = 0; i < AGENT_BROKERS_MAX - 3 + n; i++)
            size += (size_t)snprintf(text + size, sizeof(text) - size,
                                     "{\"host\": \"b%d\", \"port\": 1},", i);
        memcpy(text + size, at, strlen(at) + 1);
        int r = parse(text, &c, &err);
        assert_int_equal(r, n < 2 ? 0 : -EINVAL);
        if (r == 0)
            agent_config_free(&c);
    }
    assert_non_null(strstr(err.text, "at most 8"));
}

/* ---- broker addresses as people write them ---- */
static void broker_addresses_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
    } good_ones[] = {
        {"keys.example.org", "keys.example.org", 7221},
        {"keys:1", "keys", 1},
        {"192.0.2.7", "192.0.2.7", 7221},
        {"192.0.2.7:65535", "192.0.2.7", 65535},
        {"2001:db8::7", "2001:db8::7", 7221},
        {"[2001:db8::7]", "2001:db8::7", 7221},
        {"[2001:db8::7]:8443", "2001:db8::7", 8443},
        {"xn--bcher-kva.example", "xn--bcher-kva.example", 7221},
        {"1.example", "1.example", 7221},
    };
    for (size_t i = 0; i < ARRAY_SIZE(good_ones); i++) {
        struct broker_address b;
        struct error err = {0};
        if (broker_address_parse(good_ones[i].text, 7221, &b, &err) < 0)
            fail_msg("%s", err.text);
        assert_string_equal(b.host, good_ones[i].host);
        assert_int_equal(b.port, good_ones[i].port);
    }
}

static void nonsense_is_no_broker_address(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",          ":7221",    "keys:",       "keys:0",       "keys:65536",   "keys:72 21",
        "keys:+1",   "a b",      "a_b",         "-a",           "a-.example",   "a..b",
        "a.",        ".a",       "10.0.0",      "10.0.0.256",   "0.0.0.0",      "255.255.255.255",
        "224.0.0.1", "::",       "ff02::1",     "fe80::1",      "fe80::1%eth0", "[::1",
        "[::1]x",    "[::1]:",   "[keys]:1",    "[10.0.0.1]:1", "1:2:3",        "::ffff:10.0.0.1",
        "http://a",  "keys:1:2", "k\xc3\xa4se", "a/b",          "user@keys",    "\x1b[2J",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct broker_address b = {.port = 9};
        struct error err = {0};
        if (broker_address_parse(bad[i], 7221, &b, &err) != -EINVAL)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_int_equal(b.port, 9);
        assert_int_equal(err.text[0], 0x22); /* what was found, quoted */
        assert_null(strchr(err.text, '\x1b'));
    }
    char longest[BROKER_HOST_MAX + 8];
    memset(longest, 'a', sizeof(longest));
    for (size_t i = 63; i < sizeof(longest); i += 64)
        longest[i] = '.';
    for (size_t n = BROKER_HOST_MAX; n <= BROKER_HOST_MAX + 1; n++) {
        struct broker_address b;
        char text[sizeof(longest)];
        memcpy(text, longest, n);
        text[n] = '\0';
        int r = broker_address_parse(text, 7221, &b, NULL);
        assert_int_equal(r, n == BROKER_HOST_MAX ? 0 : -EINVAL);
    }
}

static void no_prefix_is_accepted(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof(good) - 1; n++) {
        struct agent_config c;
        assert_true(agent_config_parse(&c, BYTES(good, n), NULL) < 0);
    }
}

static void pins_are_required(void **state)
{
    (void)state;
    struct agent_config c;
    assert_int_equal(parse(good, &c, NULL), 0);
    c.pin_count = 0;
    _buffer_ struct buffer out = {0};
    struct error err = {0};
    assert_int_equal(agent_config_format(&c, &out, &err), -EINVAL);
    assert_non_null(strstr(err.text, "pins"));
    agent_config_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_member),
        cmocka_unit_test(formats_what_it_reads),
        cmocka_unit_test(format_refuses_what_the_agent_would_refuse),
        cmocka_unit_test(names_every_defect),
        cmocka_unit_test(no_prefix_is_accepted),
        cmocka_unit_test(pins_are_required),
        cmocka_unit_test(somebody_must_connect),
        cmocka_unit_test(no_more_brokers_than_there_is_room_for),
        cmocka_unit_test(broker_addresses_are_read),
        cmocka_unit_test(nonsense_is_no_broker_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

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
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"], \"listen_port\": 7220},"
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

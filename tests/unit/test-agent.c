#include "unit.h"
#include "agent/dm.h"
#include "agent/gpt.h"
#include "agent/modules.h"
#include "agent/switch_root.h"
#include "base/spawn.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

/* ---- GPT: a real one, made by sfdisk ---- */
#define DISK_BLOCKS 8192
#define BLOCK 512

static const uint8_t guid[16] = {0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0x4d, 0xef,
                                 0x81, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
#define GUID "12345678-9abc-4def-8123-456789abcdef"
#define OTHER "22345678-9abc-4def-8123-456789abcdef"

struct table {
    uint8_t header[BLOCK];
    uint8_t entries[128 * 128];
};

static void make_table(struct table *t, const char *script)
{
    char path[] = "/tmp/encroot-test-gpt-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, DISK_BLOCKS * BLOCK), 0);
    const char *const argv[] = {"sfdisk", "-q", path, NULL};
    struct error err = {0};
    if (spawn_wait(argv, NULL, -1, BYTES_STR(script), NULL, &err) != 0)
        fail_msg("sfdisk: %s", err.text);
    assert_int_equal(pread(fd, t->header, BLOCK, BLOCK), BLOCK);
    assert_int_equal(pread(fd, t->entries, sizeof(t->entries), 2 * BLOCK), sizeof(t->entries));
    close(fd);
    unlink(path);
}

static int find(const struct table *t, struct gpt_partition *p)
{
    struct gpt_header h;
    int r = gpt_parse_header(BYTES_OF(t->header), DISK_BLOCKS, &h, NULL);
    if (r < 0)
        return r;
    if (gpt_entries_size(&h) > sizeof(t->entries))
        return -EFBIG;
    return gpt_find(&h, BYTES(t->entries, gpt_entries_size(&h)), guid, p, NULL);
}

static void gpt_finds_the_partition(void **state)
{
    (void)state;
    struct table t;
    struct gpt_partition p;
    make_table(&t, "label: gpt\nstart=64,size=100,uuid=" OTHER "\nstart=2048,size=4000,uuid=" GUID
                   "\n");
    assert_int_equal(find(&t, &p), 0);
    assert_int_equal(p.number, 2);
    assert_int_equal(p.first, 2048);
    assert_int_equal(p.last, 2048 + 4000 - 1);
}

static void gpt_without_the_partition(void **state)
{
    (void)state;
    struct table t;
    struct gpt_partition p;
    make_table(&t, "label: gpt\nstart=64,size=100,uuid=" OTHER "\n");
    assert_int_equal(find(&t, &p), -ENOENT);
    make_table(&t, "label: dos\nstart=64,size=100\n");
    assert_int_equal(find(&t, &p), -ENODATA);
}

/* UEFI wants checksums right, so forging an entry needs the checksums made anew. */
static uint32_t crc(const uint8_t *p, size_t n)
{
    uint32_t c = UINT32_MAX;
    while (n--) {
        c ^= *p++;
        for (int i = 0; i < 8; i++)
            c = (c >> 1) ^ (UINT32_C(0xedb88320) & (0 - (c & 1)));
    }
    return ~c;
}

static void seal(struct table *t)
{
    put_le32(t->header + 88, crc(t->entries, sizeof(t->entries)));
    put_le32(t->header + 16, 0);
    put_le32(t->header + 16, crc(t->header, 92));
}

/* D4 */
static void gpt_with_the_guid_twice_is_refused(void **state)
{
    (void)state;
    struct table t;
    struct gpt_partition p;
    make_table(&t, "label: gpt\nstart=64,size=100,uuid=" OTHER "\nstart=2048,size=4000,uuid=" GUID
                   "\n");
    memcpy(t.entries + 16, t.entries + 128 + 16, 16);
    seal(&t);
    assert_int_equal(find(&t, &p), -ENOTUNIQ);
}

static void gpt_damage_is_refused(void **state)
{
    (void)state;
    struct table good;
    struct table t;
    struct gpt_partition p;
    make_table(&good, "label: gpt\nstart=2048,size=4000,uuid=" GUID "\n");
    for (size_t i = 0; i < 92; i++) {
        t = good;
        t.header[i] ^= 1;
        assert_true(find(&t, &p) < 0);
    }
    for (size_t i = 0; i < 256; i++) {
        t = good;
        t.entries[i] ^= 1;
        assert_int_equal(find(&t, &p), -EBADMSG);
    }
}

static void gpt_out_of_bounds_is_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint32_t value;
    } forged[] = {
        {80, 0},           /* no entries */
        {80, 0xffffffff},  /* too many */
        {84, 64},          /* entries too small */
        {84, 0xfffffff8},  /* too large */
        {72, 1},           /* the array over the header */
        {72, DISK_BLOCKS}, /* the array behind the end */
        {48, DISK_BLOCKS}, /* usable up to behind the end */
    };
    struct table good;
    make_table(&good, "label: gpt\nstart=2048,size=4000,uuid=" GUID "\n");
    struct gpt_partition p;
    for (size_t i = 0; i < ARRAY_SIZE(forged); i++) {
        struct table t = good;
        put_le32(t.header + forged[i].at, forged[i].value);
        seal(&t);
        if (find(&t, &p) != -EBADMSG)
            fail_msg("forgery %zu passes", i);
    }
    struct table t = good;
    put_le64(t.entries + 40, DISK_BLOCKS + 5); /* the partition ends behind the disk */
    seal(&t);
    assert_int_equal(find(&t, &p), -EBADMSG);
}

/* ---- modules ---- */
static void modaliases_match(void **state)
{
    (void)state;
    char *aliases[] = {"virtio:d00000002v*", "pci:v00001AF4d*sv*sd*bc*sc*i*", NULL};
    char *none[] = {NULL};
    struct agent_module m = {.path = "/lib/modules/m.ko", .aliases = aliases};
    assert_true(module_matches(&m, "virtio:d00000002v00001AF4"));
    assert_true(module_matches(&m, "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00"));
    assert_false(module_matches(&m, "virtio:d00000001v00001AF4"));
    assert_false(module_matches(&m, ""));
    m.aliases = none;
    assert_false(module_matches(&m, "virtio:d00000002v00001AF4"));
}

/* ---- dm-crypt ---- */
static void table_is_what_luks2_means(void **state)
{
    (void)state;
    _secret_ struct secret *key = secret_new(64);
    memset(secret_data(key), 0xa5, 64);
    struct dm_crypt c = {.name = "encroot",
                         .cipher = "aes-xts-plain64",
                         .key = key,
                         .sector_size = 4096,
                         .device = makedev(254, 3),
                         .offset = 16 << 20,
                         .size = 1 << 30};
    char table[512];
    char expected[512];
    char hex[129];
    memset(hex, 'a', 128);
    for (size_t i = 1; i < 128; i += 2)
        hex[i] = '5';
    hex[128] = '\0';
    snprintf(expected, sizeof(expected), "aes-xts-plain64 %s 0 254:3 32768 1 sector_size:4096",
             hex);
    assert_int_equal(dm_crypt_table(&c, table, sizeof(table)), 0);
    assert_string_equal(table, expected);
    c.sector_size = 512;
    snprintf(expected, sizeof(expected), "aes-xts-plain64 %s 0 254:3 32768", hex);
    assert_int_equal(dm_crypt_table(&c, table, sizeof(table)), 0);
    assert_string_equal(table, expected);
    for (size_t n = 0; n <= strlen(expected); n++) {
        table[n] = '!';
        assert_int_equal(dm_crypt_table(&c, table, n), -ENOSPC);
        assert_int_equal(table[n], '!'); /* nothing behind the end */
    }
}

/* ---- root filesystem ---- */
static void rootflags_are_divided(void **state)
{
    (void)state;
    char data[128];
    assert_int_equal(root_options("", data), 0);
    assert_string_equal(data, "");
    assert_int_equal(root_options("noatime,errors=remount-ro,nodev,discard", data),
                     MS_NOATIME | MS_NODEV);
    assert_string_equal(data, "errors=remount-ro,discard");
    assert_int_equal(root_options("ro,defaults,rw,,data=ordered,", data), 0);
    assert_string_equal(data, "data=ordered");
    assert_int_equal(root_options("noatimes", data), 0);
    assert_string_equal(data, "noatimes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt_finds_the_partition),
        cmocka_unit_test(gpt_without_the_partition),
        cmocka_unit_test(gpt_with_the_guid_twice_is_refused),
        cmocka_unit_test(gpt_damage_is_refused),
        cmocka_unit_test(gpt_out_of_bounds_is_refused),
        cmocka_unit_test(modaliases_match),
        cmocka_unit_test(table_is_what_luks2_means),
        cmocka_unit_test(rootflags_are_divided),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

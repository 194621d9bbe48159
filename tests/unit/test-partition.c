#include "scratch.h"
#include "disk/partition.h"
#include "base/hex.h"

#define MIB ((uint64_t)1 << 20)

static const char layout[] =
    "label: gpt\n"
    "label-id: 5C1E0F2A-7B1D-4F3A-9D6E-0123456789AB\n"
    "first-lba: 34\n"
    "14 : start=34, size=6000, type=21686148-6449-6E6F-744E-656564454649, "
    "uuid=11111111-2222-3333-4444-555555555555\n"
    "15 : start=8192, size=40960, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, "
    "uuid=0A0B0C0D-0E0F-1011-1213-141516171819, name=\"EFI \xc3\xa9t\xc3\xa9\"\n"
    "1 : start=49152, size=65536, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, "
    "uuid=AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE, name=\"root\", "
    "attrs=\"RequiredPartition LegacyBIOSBootable GUID:59\"\n"
    "3 : start=114688, size=2048, type=01234567-89AB-CDEF-0123-456789ABCDEF, "
    "uuid=BBBBBBBB-BBBB-CCCC-DDDD-EEEEEEEEEEEE, "
    "name=\"123456789012345678901234567890123456\"\n";

static void make_disk(const char *path)
{
    make_sparse(path, 64 * MIB);
    run_input(BYTES_STR(layout), "sfdisk", "-q", path);
}

static void read_table(struct partition_table *t, const char *path)
{
    struct error err = {0};
    _blockdev_ struct blockdev *d = NULL;
    assert_ok(blockdev_open(&d, path, NULL, &err));
    assert_ok(partition_table_read(t, d, &err));
}

static void a_gpt_is_read(void **state)
{
    make_disk("a.raw");
    struct partition_table t;
    read_table(&t, "a.raw");
    assert_int_equal(t.count, 4);
    assert_int_equal(t.disk_size, 64 * MIB);
    char text[UUID_TEXT_SIZE];
    uuid_format(t.disk_uuid, text);
    assert_string_equal(text, "5c1e0f2a-7b1d-4f3a-9d6e-0123456789ab");
    static const unsigned numbers[] = {1, 3, 14, 15};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(t.parts[i].number, numbers[i]);
    assert_int_equal(t.parts[0].start, 49152 * 512);
    assert_int_equal(t.parts[0].size, 65536 * 512);
    assert_int_equal(t.parts[0].attrs, UINT64_C(0x0800000000000005));
    assert_int_equal(t.parts[3].attrs, 0);
    uuid_format(t.parts[0].type_uuid, text);
    assert_string_equal(text, "4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
    uuid_format(t.parts[3].uuid, text);
    assert_string_equal(text, "0a0b0c0d-0e0f-1011-1213-141516171819");
    assert_string_equal(t.parts[3].name, "EFI \xc3\xa9t\xc3\xa9");
    assert_string_equal(t.parts[2].name, "");
}

/* What sfdisk says of it, without the name of the device. */
static void dump(struct buffer *ret, const char *path)
{
    run("cp", "--sparse=always", path, "dumped.raw");
    run_output(ret, "sfdisk", "--dump", "dumped.raw");
    assert_int_equal(buffer_append(ret, "", 1), 0);
}

static void write_table(const struct partition_table *t, const char *path, uint64_t size,
                        enum image_format format)
{
    struct error err = {0};
    _close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    _blockdev_ struct blockdev *d = NULL;
    assert_ok(blockdev_create(&d, fd, path, format, size, &err));
    uint8_t boot_code[440];
    fill_random(boot_code, sizeof(boot_code), 3);
    assert_ok(blockdev_write(d, boot_code, sizeof(boot_code), 0, &err));
    assert_ok(partition_table_write(t, d, &err));
    uint8_t after[440];
    assert_ok(blockdev_read(d, after, sizeof(after), 0, &err));
    assert_memory_equal(after, boot_code, sizeof(after));
    assert_ok(blockdev_flush(d, &err));
}

static void what_is_written_equals(void **state)
{
    make_disk("a.raw");
    struct partition_table t;
    read_table(&t, "a.raw");
    write_table(&t, "b.raw", 64 * MIB, IMAGE_RAW);
    _buffer_ struct buffer a = {0}, b = {0};
    dump(&a, "a.raw");
    dump(&b, "b.raw");
    assert_string_equal((char *)a.data, (char *)b.data);
    run("sfdisk", "--verify", "b.raw");
    struct partition_table again;
    read_table(&again, "b.raw");
    assert_memory_equal(&again, &t, sizeof(t));
    /* The second copy is a whole one: without the first, the table is still there. */
    static const uint8_t zeros[33 * 512];
    write_at("b.raw", zeros, sizeof(zeros), 512);
    read_table(&again, "b.raw");
    assert_memory_equal(&again, &t, sizeof(t));
}

static void a_larger_disk_in_qcow2(void **state)
{
    make_disk("a.raw");
    struct partition_table t;
    read_table(&t, "a.raw");
    t.parts[1].size += 30 * MIB;
    write_table(&t, "c.qcow2", 96 * MIB, IMAGE_QCOW2);
    struct partition_table again;
    read_table(&again, "c.qcow2");
    t.disk_size = 96 * MIB;
    assert_memory_equal(&again, &t, sizeof(t));
    run("qemu-img", "convert", "-O", "raw", "c.qcow2", "c.raw");
    _buffer_ struct buffer said = {0};
    run_output(&said, "sfdisk", "--verify", "c.raw");
}

static void expect_error(int code, const char *path, const char *text)
{
    struct error err = {0};
    struct partition_table t = {.count = 77};
    _blockdev_ struct blockdev *d = NULL;
    assert_ok(blockdev_open(&d, path, NULL, &err));
    int r = partition_table_read(&t, d, &err);
    if (r != -code || !strstr(err.text, text))
        fail_msg("expected %d and '%s', found %d: %s", -code, text, r, err.text);
    assert_int_equal(t.count, 77);
}

static void other_tables_are_named(void **state)
{
    make_sparse("none.raw", 8 * MIB);
    expect_error(ENODATA, "none.raw", "no partition table");
    make_sparse("mbr.raw", 8 * MIB);
    run_input(BYTES_STR("label: dos\n2048,4096\n"), "sfdisk", "-q", "mbr.raw");
    expect_error(ENODATA, "mbr.raw", "MBR");
    make_sparse("fs.raw", 8 * MIB);
    run("mke2fs", "-q", "fs.raw");
    expect_error(ENODATA, "fs.raw", "no partition table");
    make_disk("cut.raw"); /* the disk is shorter than its table says */
    assert_int_equal(truncate("cut.raw", 40 * MIB), 0);
    expect_error(EBADMSG, "cut.raw", "truncated: its GPT is for 131072 sectors, but only 81920");
    make_disk("spoiled.raw");
    static const uint8_t junk[8] = {1, 2, 3};
    write_at("spoiled.raw", junk, 8, 512 + 72); /* entries' place, in both copies */
    write_at("spoiled.raw", junk, 8, 64 * MIB - 512 + 72);
    expect_error(EBADMSG, "spoiled.raw", "the GPT is damaged");
    static const uint8_t many[4] = {0, 0, 0, 0x80};
    for (int copy = 0; copy < 2; copy++) {
        make_disk("many.raw");
        write_at("many.raw", many, 4, copy ? 64 * MIB - 512 + 80 : 512 + 80);
        expect_error(EBADMSG, "many.raw", "speaks of 2147483648 entries of 128 bytes");
    }
}

static void what_does_not_fit_is_refused(void **state)
{
    struct error err = {0};
    make_disk("a.raw");
    struct partition_table t;
    read_table(&t, "a.raw");
    make_sparse("small.raw", 32 * MIB);
    _close_ int fd = open("small.raw", O_RDWR | O_CLOEXEC);
    _blockdev_ struct blockdev *d = NULL;
    assert_ok(blockdev_from_fd(&d, fd, "small.raw", true, &err));
    assert_true(partition_table_write(&t, d, &err) < 0);
    assert_non_null(strstr(err.text, "partition 1 "));
    t.parts[1].start = t.parts[0].start + 512;
    assert_int_equal(partition_table_write(&t, d, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "overlap"));
    uint8_t head[4096];
    assert_ok(blockdev_read(d, head, sizeof(head), 0, &err));
    assert_true(bytes_are_zero(head, sizeof(head))); /* nothing was written */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gpt_is_read),
        cmocka_unit_test(what_is_written_equals),
        cmocka_unit_test(a_larger_disk_in_qcow2),
        cmocka_unit_test(other_tables_are_named),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests_name("partition", tests, scratch_setup, scratch_teardown);
}

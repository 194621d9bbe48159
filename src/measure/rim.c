#include "measure/rim.h"

#include <string.h>

#define PAGE ((size_t)4096)
#define MIB ((size_t)1 << 20)
#define BLOCK (2 * MIB)

/* The guest's memory map (QEMU's virt machine as virtCCA starts it). */
#define RAM UINT64_C(0x40000000)
#define KERNEL_ADDRESS UINT64_C(0x40200000)
#define INITRD_ADDRESS UINT64_C(0x48000000)
#define RAM_BLOB_MAX ((size_t)1 << 32)

#define IPA_BITS 40

enum rim_parameter_flags { PARAM_SVE = 1 << 1, PARAM_PMU = 1 << 2 };
enum rim_descriptor { DESCRIPTOR_DATA = 0, DESCRIPTOR_VCPU = 1 };
#define DESCRIPTOR_SIZE 256
#define DATA_MEASURED 1
#define VCPU_RUNNABLE 1

/* One measurement under way; after a failure nothing more happens. */
struct rim {
    struct digest value;
    struct digest zero_page; /* most of the memory: hashed once */
    int error;
};

static void hash(struct rim *rim, struct digest *ret, struct bytes in)
{
    if (rim->error == 0)
        rim->error = digest_compute(ret, HASH_SHA256, in);
}

/* rim = H(descriptor), which holds the rim before. The caller has filled in what is its own. */
static void extend(struct rim *rim, uint8_t d[DESCRIPTOR_SIZE], enum rim_descriptor type)
{
    d[0] = (uint8_t)type;
    put_le64(d + 0x08, DESCRIPTOR_SIZE);
    memcpy(d + 0x10, rim->value.bytes, rim->value.size);
    hash(rim, &rim->value, BYTES(d, DESCRIPTOR_SIZE));
}

static void begin(struct rim *rim, const struct rim_machine *m)
{
    uint8_t page[PAGE] = {0};
    *rim = (struct rim){.error = 0};
    hash(rim, &rim->zero_page, BYTES_OF(page));
    put_le64(page, (m->sve_bits ? PARAM_SVE : 0u) | (m->pmu_counters ? PARAM_PMU : 0u));
    put_le32(page + 0x08, IPA_BITS);
    put_le32(page + 0x10, m->sve_bits / 128);
    put_le32(page + 0x28, m->pmu_counters);
    hash(rim, &rim->value, BYTES_OF(page));
}

static void measure_page(struct rim *rim, uint64_t address, const struct digest *content)
{
    uint8_t d[DESCRIPTOR_SIZE] = {0};
    put_le64(d + 0x50, address);
    put_le64(d + 0x58, DATA_MEASURED);
    memcpy(d + 0x60, content->bytes, content->size);
    extend(rim, d, DESCRIPTOR_DATA);
}

/* `blob` with zeros behind it up to `size`, a multiple of the page. */
static void measure_blob(struct rim *rim, uint64_t address, struct bytes blob, size_t size)
{
    for (size_t at = 0; at < size && rim->error == 0; at += PAGE) {
        struct digest content = rim->zero_page;
        uint8_t page[PAGE] = {0};
        size_t n = at >= blob.size ? 0 : blob.size - at < PAGE ? blob.size - at : PAGE;
        if (n > 0) {
            memcpy(page, blob.data + at, n);
            hash(rim, &content, BYTES_OF(page));
        }
        measure_page(rim, address + at, &content);
    }
}

static void measure_vcpus(struct rim *rim, unsigned count, uint64_t entry)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t registers[80] = {0}, d[DESCRIPTOR_SIZE] = {0};
        struct digest content = {.alg = HASH_NONE};
        /* Only the first is told where to start; the others wait for PSCI. */
        put_le64(registers + 64, i == 0 ? entry : 0);
        put_le64(registers + 72, i == 0 ? VCPU_RUNNABLE : 0);
        hash(rim, &content, BYTES_OF(registers));
        memcpy(d + 0x50, content.bytes, content.size);
        extend(rim, d, DESCRIPTOR_VCPU);
    }
}

static int finish(struct rim *rim, struct digest *ret, struct error *err)
{
    if (rim->error)
        return error_errno(err, -rim->error, "computing the RIM");
    *ret = rim->value;
    return 0;
}

/* Room for a blob in memory: the next multiple of 2 MiB above its length. */
static size_t room(struct bytes blob)
{
    return (blob.size / BLOCK + 1) * BLOCK;
}

int rim_machine_check(const struct rim_machine *m, struct error *err)
{
    if (m->vcpus < 1 || m->vcpus > RIM_VCPUS_MAX)
        return error_set(err, EINVAL, "%u vCPUs: 1 to %d are possible", m->vcpus, RIM_VCPUS_MAX);
    if (m->sve_bits % 128 || m->sve_bits > RIM_SVE_BITS_MAX)
        return error_set(err, EINVAL,
                         "SVE of %u bits: a multiple of 128 up to %d is possible, or 0 for none",
                         m->sve_bits, RIM_SVE_BITS_MAX);
    if (m->pmu_counters > RIM_PMU_COUNTERS_MAX)
        return error_set(err, EINVAL, "%u PMU counters, more than %d", m->pmu_counters,
                         RIM_PMU_COUNTERS_MAX);
    return 0;
}

static int check_blob(const char *what, struct bytes blob, size_t max, struct error *err)
{
    if (blob.size == 0)
        return error_set(err, EINVAL, "the %s is empty", what);
    if (blob.size > max)
        return error_set(err, EFBIG, "the %s has %zu bytes, more than %zu", what, blob.size, max);
    return 0;
}

int rim_of_firmware(struct digest *ret, const struct rim_machine *m, struct bytes firmware,
                    struct bytes device_tree, struct error *err)
{
    struct rim rim;
    int r = rim_machine_check(m, err);
    if (r == 0)
        r = check_blob("firmware", firmware, RIM_FIRMWARE_MAX, err);
    if (r == 0)
        r = check_blob("device tree", device_tree, RAM_BLOB_MAX, err);
    if (r < 0)
        return r;
    begin(&rim, m);
    measure_blob(&rim, 0, firmware, RIM_FIRMWARE_MAX);
    measure_blob(&rim, RAM, device_tree, room(device_tree));
    measure_vcpus(&rim, m->vcpus, 0);
    return finish(&rim, ret, err);
}

/* ---- direct boot ---- */

/* The size in memory that an arm64 Image states (Linux, Documentation/arch/arm64/booting.rst). */
static int kernel_size(size_t *ret, struct bytes image, struct error *err)
{
    static const uint8_t magic[4] = {'A', 'R', 'M', 0x64};
    if (image.size < 64 || memcmp(image.data + 56, magic, sizeof(magic)) != 0)
        return error_set(err, EINVAL, "the kernel is not an uncompressed arm64 Image");
    struct reader r = reader_of(BYTES(image.data + 16, 8));
    uint64_t size = read_le64(&r);
    size_t max = INITRD_ADDRESS - KERNEL_ADDRESS;
    if (size > max || size < image.size)
        return error_set(err, EINVAL,
                         "the kernel of %zu bytes states %llu bytes of memory; at most %zu fit",
                         image.size, (unsigned long long)size, max);
    *ret = ((size_t)size + PAGE - 1) / PAGE * PAGE;
    return 0;
}

/* What the hypervisor puts at the start of RAM: load the device tree's address, jump. */
static void start_code(uint8_t code[40], uint64_t device_tree)
{
    static const uint32_t words[] = {0x580000c0, 0xaa1f03e1, 0xaa1f03e2,
                                     0xaa1f03e3, 0x58000084, 0xd61f0080};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        put_le32(code + 4 * i, words[i]);
    put_le64(code + 24, device_tree);
    put_le64(code + 32, KERNEL_ADDRESS);
}

int rim_of_kernel(struct digest *ret, const struct rim_machine *m, struct bytes image,
                  struct bytes initrd, struct bytes device_tree, struct error *err)
{
    struct rim rim;
    size_t size = 0;
    int r = rim_machine_check(m, err);
    if (r == 0)
        r = kernel_size(&size, image, err);
    if (r == 0 && initrd.size > 0)
        r = check_blob("initrd", initrd, RAM_BLOB_MAX, err);
    if (r == 0)
        r = check_blob("device tree", device_tree, RAM_BLOB_MAX, err);
    if (r < 0)
        return r;

    size_t initrd_room = initrd.size > 0 ? room(initrd) : 0;
    uint64_t device_tree_address = INITRD_ADDRESS + initrd_room;
    uint8_t code[40];
    start_code(code, device_tree_address);
    begin(&rim, m);
    measure_blob(&rim, RAM, BYTES_OF(code), BLOCK);
    measure_blob(&rim, KERNEL_ADDRESS, image, size);
    measure_blob(&rim, INITRD_ADDRESS, initrd, initrd_room);
    measure_blob(&rim, device_tree_address, device_tree, room(device_tree));
    measure_vcpus(&rim, m->vcpus, RAM);
    return finish(&rim, ret, err);
}

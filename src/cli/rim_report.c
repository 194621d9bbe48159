#include "cli/rim_report.h"

#include "base/io.h"
#include "cli/plain_text.h"
#include "measure/kernel.h"
#include "measure/qemu_device_tree.h"

#include <ctype.h>
#include <string.h>

#define INITRD_FILE_MAX ((size_t)1 << 30)

static int no_memory(struct error *err)
{
    return error_set(err, ENOMEM, "out of memory");
}

static int add_file(json_t *files, const char *use, const char *path, struct bytes content,
                    struct error *err)
{
    struct digest d;
    char hex[DIGEST_HEX_SIZE];
    if (digest_compute(&d, HASH_SHA256, content) < 0)
        return no_memory(err);
    digest_hex(&d, hex);
    json_t *j =
        json_pack("{s:s, s:I, s:s}", "use", use, "size", (json_int_t)content.size, "sha256", hex);
    if (path)
        json_object_set_new(j, "path", plain_json(path));
    return json_array_append_new(files, j) < 0 ? no_memory(err) : 0;
}

/* Read a file, which must not be empty, and list it. */
static int load(struct buffer *ret, json_t *files, const char *use, const char *path, size_t max,
                struct error *err)
{
    int r = read_file(path, max, ret, err);
    if (r == -EFBIG)
        return error_hint(err, r, "it is read as %s, which has %zu MiB at most", use, max >> 20);
    if (r < 0)
        return error_hint(err, r, "it is to be the %s; QEMU's own data folders are not searched",
                          use);
    if (ret->size == 0)
        return error_hint(err, error_set(err, EINVAL, "%s: is empty, expected the %s", path, use),
                          "give the file that the hypervisor loads");
    return add_file(files, use, path, buffer_bytes(ret), err);
}

static int load_device_tree(struct rim_inputs *in, json_t *files, struct error *err)
{
    if (!in->dtb)
        return add_file(files, "device tree", NULL, buffer_bytes(&in->device_tree), err);
    return load(&in->device_tree, files, "device tree", in->dtb, DEVICE_TREE_MAX, err);
}

static int measure_firmware(struct digest *ret, const struct rim_inputs *in,
                            const struct rim_machine *m, json_t *files, struct error *err)
{
    _buffer_ struct buffer firmware = {0};
    int r = load(&firmware, files, "firmware", in->firmware, RIM_FIRMWARE_MAX, err);
    if (r == 0 && firmware.size >= 4 && memcmp(firmware.data, "QFI\xfb", 4) == 0)
        r = error_hint(err,
                       error_set(err, EINVAL,
                                 "%s: expected a firmware as it is loaded, found qcow2",
                                 in->firmware),
                       "convert it with: qemu-img convert -O raw %s FIRMWARE", in->firmware);
    return r < 0 ? r
                 : rim_of_firmware(ret, m, buffer_bytes(&firmware), buffer_bytes(&in->device_tree),
                                   err);
}

/* QEMU decompresses an Image.gz itself, and what it loads is measured. */
static int measure_kernel(struct digest *ret, const struct rim_inputs *in,
                          const struct rim_machine *m, json_t *files, struct error *err)
{
    _buffer_ struct buffer file = {0}, initrd = {0};
    _buffer_ struct buffer image = {.max = KERNEL_DECOMPRESSED_MAX};
    int r = load(&file, files, "kernel", in->kernel, KERNEL_FILE_MAX, err);
    if (r == 0 && in->initrd)
        r = load(&initrd, files, "initrd", in->initrd, INITRD_FILE_MAX, err);
    if (r < 0)
        return r;
    r = kernel_decompress(&image, buffer_bytes(&file), err);
    if (r == 0)
        r = rim_of_kernel(ret, m, buffer_bytes(&image), buffer_bytes(&initrd),
                          buffer_bytes(&in->device_tree), err);
    if (r < 0)
        error_hint(err, r, "a direct boot takes an arm64 Image: arch/arm64/boot/Image");
    return error_prefix(err, r, "%s", in->kernel);
}

static json_t *format(const struct rim_inputs *in, const struct digest *rim, json_t *files)
{
    char hex[DIGEST_HEX_SIZE];
    digest_hex(rim, hex);
    return json_pack(
        "{s:s, s:s, s:s, s:O, s:i, s:i, s:i, s:{s:o, s:o, s:o}}", "rim", hex, "hash_alg",
        hash_name(HASH_SHA256), "mode", in->firmware ? "firmware" : "kernel", "files", files,
        "vcpus", (int)in->vcpus.value, "sve_bits", (int)in->sve_bits.value, "pmu_counters",
        (int)in->pmu_counters.value, "origin", "vcpus", plain_json(in->vcpus.origin), "sve_bits",
        plain_json(in->sve_bits.origin), "pmu_counters", plain_json(in->pmu_counters.origin));
}

int rim_report(json_t **ret, struct rim_inputs *in, struct error *err)
{
    const struct rim_machine m = {in->vcpus.value, in->sve_bits.value, in->pmu_counters.value};
    _json_ json_t *files = json_array();
    struct digest rim;
    int r = rim_machine_check(&m, err);
    if (r == 0)
        r = load_device_tree(in, files, err);
    if (r == 0)
        r = in->firmware ? measure_firmware(&rim, in, &m, files, err)
                         : measure_kernel(&rim, in, &m, files, err);
    if (r < 0)
        return r;
    json_t *report = format(in, &rim, files);
    if (!report)
        return no_memory(err);
    *ret = report;
    return 0;
}

void rim_report_print(const json_t *report)
{
    fputs("RIM-HASH: ", stdout);
    for (const char *p = json_string_value(json_object_get(report, "rim")); *p; p++)
        putchar(toupper((unsigned char)*p));
    putchar('\n');
}

static void explain_number(const json_t *report, const char *key, const char *label)
{
    const json_t *origin = json_object_get(json_object_get(report, "origin"), key);
    fprintf(stderr, "%-13s %" JSON_INTEGER_FORMAT " (", label,
            json_integer_value(json_object_get(report, key)));
    plain_print(stderr, json_string_value(origin));
    fputs(")\n", stderr);
}

void rim_report_explain(const json_t *report)
{
    size_t i;
    const json_t *file;
    json_array_foreach(json_object_get(report, "files"), i, file)
    {
        const char *path = json_string_value(json_object_get(file, "path"));
        fprintf(stderr, "%-13s ", json_string_value(json_object_get(file, "use")));
        plain_print(stderr, path ? path : "QEMU's, for this command line");
        fprintf(stderr, ", %" JSON_INTEGER_FORMAT " bytes, SHA-256 %s\n",
                json_integer_value(json_object_get(file, "size")),
                json_string_value(json_object_get(file, "sha256")));
    }
    explain_number(report, "vcpus", "vCPUs");
    explain_number(report, "sve_bits", "SVE bits");
    explain_number(report, "pmu_counters", "PMU counters");
}

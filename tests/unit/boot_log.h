/*
 * A boot for tests: what was measured, what the log says about it, and the reference values that
 * it meets. Attacks are made from it by changing one of them.
 */
#ifndef ENCROOT_TESTS_BOOT_LOG_H
#define ENCROOT_TESTS_BOOT_LOG_H

#include "event_log_writer.h"
#include "measure/reference.h"
#include "platform/platform.h"

static const int8_t cca_map[24] = {0, 1, 2, 2, 2, 2, 2, 1, 3, 3, -1, 3,
                                   3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4,  4};

/* A failure here is the test's own. */
static inline void boot_log_check(int r)
{
    assert(r == 0);
    (void)r;
}

#define RECORDS_MAX 64

/* `content` is what was measured: its SHA-256 is the record's digest. */
struct record {
    uint32_t index;
    uint32_t type;
    const char *content;
    size_t content_size; /* 0: strlen */
    const char *data;
    size_t data_size; /* 0: strlen */
};

struct boot {
    struct record records[RECORDS_MAX];
    size_t count;
};

#define CMDLINE_1 "/vmlinuz-1 root=/dev/mapper/encroot ro quiet"
#define CMDLINE_2 "/vmlinuz-2 root=/dev/mapper/encroot ro quiet"
#define ACTION "Exit Boot Services Invocation"
#define COMMAND(text) text, 0, "grub_cmd: " text "\0", sizeof("grub_cmd: " text)
#define CMDLINE(text) text, 0, "kernel_cmdline: " text "\0", sizeof("kernel_cmdline: " text)
#define TEXT(text) text, sizeof(text)
#define PE EV_EFI_BOOT_SERVICES_APPLICATION
#define GLOBAL_GUID "\x61\xdf\xe4\x8b\xca\x93\xd2\x11\xaa\x0d\x00\xe0\x98\x03\x2b\x8c"
/* A variable: GUID, name of 1 character, value of 1 byte. */
#define VARIABLE GLOBAL_GUID "\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0N\0V"
/* The order of boot: one entry. */
#define BOOT_ORDER GLOBAL_GUID "\x9\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0B\0o\0o\0t\0O\0r\0d\0e\0r\0\0\0"

static const struct boot good = {
    .records =
        {
            {0, EV_S_CRTM_VERSION, TEXT("version"), "", 0},
            {7, EV_EFI_VARIABLE_DRIVER_CONFIG, VARIABLE, 35, VARIABLE, 35},
            {1, EV_EFI_VARIABLE_BOOT, "\0\0", 2, BOOT_ORDER, 52},
            {7, EV_SEPARATOR, "\0\0\0\0", 4, "\0\0\0\0", 4},
            {4, EV_SEPARATOR, "\0\0\0\0", 4, "\0\0\0\0", 4},
            {5, EV_EFI_GPT_EVENT, TEXT("EFI PART..."), TEXT("EFI PART...")},
            {4, PE, "shim", 0, "\\EFI\\BOOT", 0},
            {14, EV_IPL, "moks", 0, TEXT("MokList")},
            {14, EV_IPL, "mokx", 0, TEXT("MokListX")},
            {4, PE, "grub", 0, "\\EFI\\grub", 0},
            {8, EV_IPL, COMMAND("source (hd0,gpt1)/EFI/debian/grub.cfg")},
            {9, EV_IPL, "stub.cfg", 0, TEXT("(hd0,gpt1)/EFI/debian/grub.cfg")},
            {9, EV_IPL, "main.cfg", 0, TEXT("(hd0,gpt2)/grub/grub.cfg")},
            {8, EV_IPL, COMMAND("menuentry Debian {\n linux " CMDLINE_1 "\n}")},
            {8, EV_IPL, COMMAND("linux " CMDLINE_1)},
            {9, EV_IPL, "kernel-1", 0, TEXT("/vmlinuz-1")},
            {4, PE, "kernel-1-pe", 0, "", 0},
            {4, PE, "kernel-1-pe", 0, "", 0},
            {8, EV_IPL, CMDLINE(CMDLINE_1)},
            {8, EV_IPL, COMMAND("initrd /initrd-1")},
            {9, EV_IPL, "initramfs-1", 0, TEXT("/initrd-1")},
            {5, EV_EFI_ACTION, ACTION, 0, ACTION, 0},
        },
    .count = 22,
};

/* Places in it. */
enum {
    AT_VERSION,
    AT_SECURE_BOOT,
    AT_BOOT_VARIABLE,
    AT_SEPARATOR_7,
    AT_SEPARATOR_4,
    AT_GPT,
    AT_SHIM,
    AT_MOK,
    AT_MOKX,
    AT_GRUB,
    AT_SOURCE,
    AT_STUB,
    AT_MAIN,
    AT_MENUENTRY,
    AT_LINUX,
    AT_KERNEL,
    AT_KERNEL_PE,
    AT_KERNEL_PE_AGAIN,
    AT_CMDLINE,
    AT_INITRD,
    AT_INITRAMFS,
    AT_ACTION,
};

/* ---- reference values ---- */

static inline struct digest digest_in(enum hash_alg alg, const char *content)
{
    struct digest d;
    boot_log_check(digest_compute(&d, alg, BYTES_STR(content)));
    return d;
}

static inline struct digest digest_of(const char *content)
{
    return digest_in(HASH_SHA256, content);
}

struct reference {
    struct reference_values values;
    struct reference_file files[2];
    struct reference_kernel kernels[2];
    char *cmdlines[2][3];
};

static inline void make_reference_in(struct reference *r, enum hash_alg alg)
{
    *r = (struct reference){
        .files = {{(char *)"/EFI/debian/grub.cfg", digest_in(alg, "stub.cfg")},
                  {(char *)"/grub/grub.cfg", digest_in(alg, "main.cfg")}},
        .kernels = {{.version = (char *)"1",
                     .kernel = digest_in(alg, "kernel-1-decompressed"),
                     .kernel_file = digest_in(alg, "kernel-1"),
                     .kernel_pe = digest_in(alg, "kernel-1-pe"),
                     .initramfs = digest_in(alg, "initramfs-1"),
                     .path = (char *)"/vmlinuz-1",
                     .initramfs_path = (char *)"/initrd-1",
                     .cmdlines = r->cmdlines[0]},
                    {.version = (char *)"2",
                     .kernel = digest_in(alg, "kernel-2-decompressed"),
                     .kernel_file = digest_in(alg, "kernel-2"),
                     .kernel_pe = digest_in(alg, "kernel-2-pe"),
                     .initramfs = digest_in(alg, "initramfs-2"),
                     .path = (char *)"/vmlinuz-2",
                     .initramfs_path = (char *)"/initrd-2",
                     .cmdlines = r->cmdlines[1]}},
        .cmdlines = {{(char *)CMDLINE_1, (char *)CMDLINE_1 " single"}, {(char *)CMDLINE_2}},
    };
    r->values = (struct reference_values){
        .alg = alg,
        .shim = digest_in(alg, "shim"),
        .grub = digest_in(alg, "grub"),
        .grub_cfg = digest_in(alg, "main.cfg"),
        .grub_cfgs = r->files,
        .grub_cfg_count = 2,
        .kernels = r->kernels,
        .kernel_count = 2,
    };
}

static inline void make_reference(struct reference *r)
{
    make_reference_in(r, HASH_SHA256);
}

/* ---- measuring and logging ---- */

static inline struct bytes content_of(const struct record *r)
{
    return BYTES(r->content, r->content_size ? r->content_size : strlen(r->content));
}

static inline struct bytes data_of(const struct record *r)
{
    return BYTES(r->data, r->data_size ? r->data_size : strlen(r->data));
}

/* What the hardware holds after `b` was really measured. */
static inline void measure_in(const struct boot *b, enum hash_alg alg,
                              struct platform_claims *claims)
{
    *claims = (struct platform_claims){
        .hash = alg, .register_count = 5, .pcr_map = cca_map, .initial = digest_in(alg, "rim")};
    for (size_t i = 0; i < 5; i++)
        claims->extended[i] = (struct digest){.alg = alg, .size = hash_size(alg)};
    for (size_t i = 0; i < b->count; i++) {
        struct digest d;
        int8_t to = cca_map[b->records[i].index];
        boot_log_check(digest_compute(&d, alg, content_of(&b->records[i])));
        if (to > 0)
            boot_log_check(digest_extend(&claims->extended[to], digest_bytes(&d)));
    }
}

static inline void measure(const struct boot *b, struct platform_claims *claims)
{
    measure_in(b, HASH_SHA256, claims);
}

static inline void write_log_in(const struct boot *b, enum hash_alg alg,
                                enum event_log_format format, struct buffer *log)
{
    writer_begin_algs(log, &alg, 1);
    for (size_t i = 0; i < b->count; i++) {
        const struct record *r = &b->records[i];
        uint32_t index = format == EVENT_LOG_TCG2 ? r->index : (uint32_t)cca_map[r->index];
        writer_measure(log, alg, index, r->type, content_of(r), data_of(r));
    }
}

static inline void write_log(const struct boot *b, enum event_log_format format, struct buffer *log)
{
    write_log_in(b, HASH_SHA256, format, log);
}

static inline void insert(struct boot *b, size_t at, struct record r)
{
    assert(b->count < RECORDS_MAX);
    memmove(&b->records[at + 1], &b->records[at], (b->count - at) * sizeof(r));
    b->records[at] = r;
    b->count++;
}

static inline void drop(struct boot *b, size_t at)
{
    b->count--;
    memmove(&b->records[at], &b->records[at + 1], (b->count - at) * sizeof(b->records[0]));
}

#endif

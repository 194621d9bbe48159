#include "appraise/boot.h"

#include <string.h>

/* ---- what waits in the second sequence ---- */

static void add_slot(struct boot_walk *w, enum slot_kind kind, const struct reference_file *file)
{
    w->slots[w->slot_count++] = (struct slot){.kind = kind, .file = file};
}

int boot_walk_begin(struct boot_walk *w, const struct reference_values *ref, struct findings *f)
{
    size_t files = ref->grub_cfg_count ? ref->grub_cfg_count : 1;
    *w = (struct boot_walk){.ref = ref, .f = f};
    w->program = ref->shim.size ? PROGRAM_SHIM : PROGRAM_GRUB;
    w->candidates = calloc(ref->kernel_count + 1, sizeof(*w->candidates));
    w->slots = calloc(files + 3, sizeof(*w->slots));
    if (!w->candidates || !w->slots)
        return -ENOMEM;
    for (size_t i = 0; i < ref->kernel_count; i++)
        w->candidates[i] = true;
    /* The sample's hash.json knows one configuration file, and not where it is. */
    w->main_cfg.digest = ref->grub_cfg;
    for (size_t i = 0; i < files; i++)
        add_slot(w, SLOT_CONFIGURATION, ref->grub_cfg_count ? &ref->grub_cfgs[i] : &w->main_cfg);
    add_slot(w, SLOT_KERNEL, NULL);
    add_slot(w, SLOT_CMDLINE, NULL);
    add_slot(w, SLOT_INITRAMFS, NULL);
    return 0;
}

void boot_walk_free(struct boot_walk *w)
{
    free(w->candidates);
    free(w->slots);
    *w = (struct boot_walk){0};
}

/* ---- kernel entries: all records must belong to one ---- */

bool reference_matches(const struct digest *reference, const struct event *e)
{
    return reference->size > 0 && digest_equal(reference, &e->digest);
}

bool boot_candidate_fits(const struct boot_walk *w,
                         bool (*fits)(const struct reference_kernel *k, const struct event *e),
                         const struct event *e)
{
    for (size_t i = 0; i < w->ref->kernel_count; i++)
        if (w->candidates[i] && fits(&w->ref->kernels[i], e))
            return true;
    return false;
}

void boot_keep_candidates(struct boot_walk *w,
                          bool (*fits)(const struct reference_kernel *k, const struct event *e),
                          const struct event *e)
{
    for (size_t i = 0; i < w->ref->kernel_count; i++)
        w->candidates[i] = w->candidates[i] && fits(&w->ref->kernels[i], e);
}

/* ---- the first sequence: programs ---- */

static const struct {
    const char *check;
    const char *title;
} programs[] = {
    [PROGRAM_SHIM] = {"boot.shim", "shim"},
    [PROGRAM_GRUB] = {"boot.grub", "GRUB"},
    [PROGRAM_KERNEL] = {"boot.pe", "the kernel as PE"},
};

static bool fits_kernel_program(const struct reference_kernel *k, const struct event *e)
{
    return reference_matches(&k->kernel_pe, e);
}

static bool is_program(const struct boot_walk *w, enum program p, const struct event *e)
{
    if (p == PROGRAM_KERNEL)
        return boot_candidate_fits(w, fits_kernel_program, e);
    return reference_matches(p == PROGRAM_SHIM ? &w->ref->shim : &w->ref->grub, e);
}

static void expected_program(const struct boot_walk *w, enum program p, char *ret, size_t size)
{
    char hex[DIGEST_HEX_SIZE] = "";
    digest_hex(p == PROGRAM_SHIM ? &w->ref->shim : &w->ref->grub, hex);
    if (p == PROGRAM_KERNEL)
        snprintf(ret, size, "the kernel of the reference values, and no other program");
    else
        snprintf(ret, size, "%s, Authenticode %s", programs[p].title,
                 hex[0] ? hex : "(not in the reference values)");
}

static void reject_program(struct boot_walk *w, enum program p, const char *found)
{
    char expected[256];
    expected_program(w, p, expected, sizeof(expected));
    finding_add(w->f, programs[p].check, VERDICT_REJECT, expected, found);
    finding_remedy(w->f, REMEDY_IMAGE);
}

/* Move on to `p`; those that are passed over are missing. */
static void skip_programs(struct boot_walk *w, enum program p)
{
    for (; w->program < p; w->program++) {
        if (!w->program_rejected)
            reject_program(w, w->program, "not started");
        w->program_rejected = false;
    }
}

static void accept_program(struct boot_walk *w, enum program p, const struct event *e)
{
    char expected[256], hex[DIGEST_HEX_SIZE];
    expected_program(w, p, expected, sizeof(expected));
    digest_hex(&e->digest, hex);
    finding_addf(w->f, programs[p].check, VERDICT_PASS, expected, "record %zu: %s", w->number, hex);
    if (p != PROGRAM_KERNEL) {
        w->program = p + 1;
        return;
    }
    boot_keep_candidates(w, fits_kernel_program, e);
    w->kernel_program = e->digest;
    w->kernel_program_count++;
}

/* GRUB on x86 starts the kernel through shim's verification and has it measured twice. */
static bool kernel_may_start(const struct boot_walk *w, const struct event *e)
{
    return w->kernel_program_count == 0 ||
           (w->kernel_program_count == 1 && digest_equal(&w->kernel_program, &e->digest));
}

void boot_program(struct boot_walk *w, const struct event *e)
{
    char found[64 + DIGEST_HEX_SIZE], hex[DIGEST_HEX_SIZE];
    for (enum program p = w->program; p <= PROGRAM_KERNEL; p++) {
        if (!is_program(w, p, e) || (p == PROGRAM_KERNEL && !kernel_may_start(w, e)))
            continue;
        skip_programs(w, p);
        accept_program(w, p, e);
        return;
    }
    digest_hex(&e->digest, hex);
    snprintf(found, sizeof(found), "record %zu: another program, Authenticode %s", w->number, hex);
    reject_program(w, w->program, found);
    w->program_rejected = true;
}

/* ---- the rest ---- */

void boot_walk_end(struct boot_walk *w)
{
    static const struct {
        const char *check;
        const char *title;
    } kinds[] = {
        [SLOT_CONFIGURATION] = {"boot.grub.cfg", "configuration file"},
        [SLOT_KERNEL] = {"boot.kernel", "a kernel of the reference values"},
        [SLOT_CMDLINE] = {"boot.cmdline", "a kernel command line of the reference values"},
        [SLOT_INITRAMFS] = {"boot.initramfs", "the initramfs of that kernel"},
    };
    boot_commands_end(w);
    skip_programs(w, PROGRAM_KERNEL); /* that one's file is the requirement: slots below */
    for (; w->at < w->slot_count; w->at++) {
        const struct slot *s = &w->slots[w->at];
        char expected[512];
        snprintf(expected, sizeof(expected), "%s%s%s", kinds[s->kind].title, s->file ? " " : "",
                 s->file && s->file->path ? s->file->path
                 : s->file                ? "grub.cfg"
                                          : "");
        finding_add(w->f, kinds[s->kind].check, VERDICT_REJECT, expected, "not in the event log");
        finding_remedy(w->f, "the log must show that GRUB read it: GRUB needs its tpm module, "
                             "and a boot through EFI");
    }
}

void boot_unexplained(struct boot_walk *w, const struct event *e, const char *why)
{
    char hex[DIGEST_HEX_SIZE];
    _free_ char *text = text_escape(e->data, 160);
    digest_hex(&e->digest, hex);
    finding_addf(w->f, "log.record", VERDICT_REJECT,
                 why ? why : "a reference value or a rule that explains the record",
                 "record %zu at offset %zu: register %u, %s (0x%x), digest %s, data \"%s\"",
                 w->number, e->offset, e->index, event_type_name(e->type), e->type, hex,
                 text ? text : "");
}

/* Every record of a log meets one of these rules, or is rejected. */
#include "appraise/boot.h"
#include "appraise/stages.h"

#include <string.h>

#define PCR(n) (UINT32_C(1) << (n))

/*
 * A register that holds anything of the boot path must have no waiver without a form (forms.c);
 * those for the platform's tables stay with PCR 1, which shares its register with PCR 7 alone.
 *
 * A rule takes the records of a type in some PCRs, if `form` (may be NULL) holds. It either hands
 * them to the walk, or waives them by its name.
 */
struct rule {
    uint32_t pcrs;
    uint32_t type;
    bool (*form)(const struct event *e);
    bool (*allowed)(struct boot_walk *w, const struct event *e); /* may be NULL */
    void (*walk)(struct boot_walk *w, const struct event *e);    /* NULL: waived */
    const char *check;                                           /* of the waiver's finding */
    const char *reason;                                          /* name and why */
};

static bool is_cmdline(const struct event *e)
{
    return bytes_start_with(e->data, "kernel_cmdline: ");
}

static bool is_command_text(const struct event *e)
{
    return bytes_start_with(e->data, "grub_cmd: ") || bytes_start_with(e->data, "module_cmdline: ");
}

static bool is_path(const struct event *e)
{
    return bytes_start_with(e->data, "/") || bytes_start_with(e->data, "(");
}

static void reject_driver(struct boot_walk *w, const struct event *e)
{
    boot_unexplained(w, e, "no driver from an option ROM or a disk");
    finding_remedy(w->f, "start the guest without option ROMs (QEMU: romfile= for each device)");
}

static void reject_command(struct boot_walk *w, const struct event *e)
{
    w->grub_ran = true;
    boot_unexplained(w, e, "a GRUB command that the rule \"grub-command\" explains");
}

static bool allow_grub(struct boot_walk *w, const struct event *e)
{
    w->grub_ran = true;
    return true;
}

/*
 * shim's records of its own variables hold digests of what is nowhere in the log, so nothing but
 * their place and size tells what they are: each name once, before anything that GRUB measured,
 * only where there is a shim, and all but the two lists of keys are a single byte. That leaves two
 * records in which something else could hide, one of them taken by any shim that has a key of its
 * own: too few for a GRUB configuration, the command in it that loads a module, and the module.
 */
static bool allow_mok(struct boot_walk *w, const struct event *e)
{
    static const struct {
        const char *name;
        bool byte;
    } variables[] = {{"MokList", false},   {"MokListX", false},      {"MokSBState", true},
                     {"MokDBState", true}, {"MokListTrusted", true}, {"MokPolicy", true}};
    struct bytes text = record_text(e);
    for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
        if (!bytes_equal(text, BYTES_STR(variables[i].name)))
            continue;
        bool first = !(w->moks_seen & 1u << i);
        w->moks_seen |= 1u << i;
        return first && !w->grub_ran && w->ref->shim.size > 0 &&
               (!variables[i].byte || form_byte(e));
    }
    return false;
}

static const struct rule rules[] = {
    {PCR(4), EV_EFI_BOOT_SERVICES_APPLICATION, NULL, NULL, boot_program, NULL, NULL},
    {PCR(2) | PCR(3) | PCR(4), EV_EFI_BOOT_SERVICES_DRIVER, NULL, NULL, reject_driver, NULL, NULL},
    {PCR(2) | PCR(3) | PCR(4), EV_EFI_RUNTIME_SERVICES_DRIVER, NULL, NULL, reject_driver, NULL,
     NULL},
    {PCR(8), EV_IPL, is_cmdline, NULL, boot_cmdline, NULL, NULL},
    {PCR(8), EV_IPL, form_grub_command, allow_grub, NULL, "waived.grub-command",
     "rule grub-command: the command's effect is measured again by other records"},
    {PCR(8), EV_IPL, is_command_text, NULL, reject_command, NULL, NULL},
    {PCR(14), EV_IPL, NULL, allow_mok, NULL, "waived.shim-mok",
     "rule shim-mok: shim's list of keys; every program that a key could admit is appraised"},
    {PCR(9), EV_IPL, is_path, NULL, boot_file, NULL, NULL},
    {0xff, EV_SEPARATOR, form_separator, NULL, NULL, "waived.separator",
     "rule separator: four zero bytes between firmware and what it starts"},
    {PCR(7), EV_EFI_VARIABLE_DRIVER_CONFIG, form_variable, NULL, NULL, "waived.secure-boot",
     "rule secure-boot: keys and state of Secure Boot; every program is appraised by digest"},
    {PCR(7), EV_EFI_VARIABLE_AUTHORITY, form_variable, NULL, NULL, "waived.secure-boot-authority",
     "rule secure-boot-authority: the key that vouched for a program; its digest is appraised"},
    {PCR(1), EV_EFI_VARIABLE_BOOT, form_boot_variable, NULL, NULL, "waived.boot-variable",
     "rule boot-variable: the order of boot; what is started is appraised"},
    {PCR(1), EV_EFI_VARIABLE_BOOT2, form_boot_variable, NULL, NULL, "waived.boot-variable",
     "rule boot-variable: the order of boot; what is started is appraised"},
    {PCR(1), EV_EFI_HANDOFF_TABLES, NULL, NULL, NULL, "waived.platform-tables",
     "rule platform-tables: ACPI and SMBIOS tables of the machine"},
    {PCR(1), EV_EFI_HANDOFF_TABLES2, NULL, NULL, NULL, "waived.platform-tables",
     "rule platform-tables: ACPI and SMBIOS tables of the machine"},
    {PCR(1), EV_PLATFORM_CONFIG_FLAGS, NULL, NULL, NULL, "waived.platform-tables",
     "rule platform-tables: ACPI and SMBIOS tables of the machine"},
    {PCR(5), EV_EFI_GPT_EVENT, form_partitions, NULL, NULL, "waived.partition-table",
     "rule partition-table: where partitions are; what is read from them is appraised"},
    {PCR(4) | PCR(5), EV_EFI_ACTION, form_action, NULL, NULL, "waived.firmware-action",
     "rule firmware-action: one of firmware's own texts"},
};

/* What one rule waived, for one finding in the end. */
struct waived {
    size_t count;
    struct buffer numbers; /* "1, 4-7", as far as it fits */
    size_t first, last;
};

#define NUMBERS_MAX 512
#define REJECTIONS_MAX 100 /* more tell nobody more */

static void flush_range(struct waived *w)
{
    if (w->last == 0 || w->numbers.size > NUMBERS_MAX)
        return;
    int r = buffer_printf(&w->numbers, w->first == w->last ? "%s%zu" : "%s%zu-%zu",
                          w->numbers.size ? ", " : "", w->first, w->last);
    (void)r; /* only the text for people suffers */
    w->last = 0;
}

static void waive(struct waived *w, size_t number)
{
    w->count++;
    if (w->last && w->last + 1 == number) {
        w->last = number;
        return;
    }
    flush_range(w);
    w->first = w->last = number;
}

static void report_waived(struct waived *w, const char *check, const char *reason,
                          struct findings *f)
{
    flush_range(w);
    if (w->count > 0)
        finding_addf(f, check, VERDICT_WAIVED, reason, "%zu record%s: %.*s%s", w->count,
                     w->count == 1 ? "" : "s", (int)w->numbers.size,
                     w->numbers.size ? (char *)w->numbers.data : "",
                     w->numbers.size > NUMBERS_MAX ? ", ..." : "");
    buffer_free(&w->numbers);
}

/* The rule that takes the record; NULL after it was rejected. */
static const struct rule *apply(struct boot_walk *w, const struct event *e, uint32_t pcrs)
{
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        const struct rule *r = &rules[i];
        if (!(r->pcrs & pcrs) || r->type != e->type || (r->form && !r->form(e)))
            continue;
        if (r->allowed && !r->allowed(w, e))
            continue;
        if (r->walk)
            r->walk(w, e);
        return r;
    }
    boot_unexplained(w, e, NULL);
    return NULL;
}

static void walk_records(struct boot_walk *w, const struct event_log *log,
                         enum event_log_format format, const struct platform_claims *claims)
{
    struct waived waived[ARRAY_SIZE(rules)] = {0};
    struct waived uncovered = {0};
    for (size_t i = 0; i < log->count; i++) {
        const struct event *e = &log->events[i];
        if (w->f->rejected > REJECTIONS_MAX) {
            finding_add(w->f, "log.record", VERDICT_REJECT, "fewer rejections",
                        "the rest of the log was not looked at");
            break;
        }
        w->number = i + 1;
        if (record_register(e, format, claims) == 0) {
            waive(&uncovered, w->number);
            continue;
        }
        const struct rule *r = apply(w, e, record_pcrs(e, format, claims));
        if (r && !r->walk)
            waive(&waived[r - rules], w->number);
    }
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        report_waived(&waived[i], rules[i].check, rules[i].reason, w->f);
    report_waived(&uncovered, "waived.no-register",
                  "rule no-register: extended nothing that the token holds, so counts for nothing",
                  w->f);
}

void appraise_boot(const struct event_log *log, enum event_log_format format,
                   const struct platform_claims *claims, const struct reference_values *boot,
                   struct findings *f)
{
    _boot_walk_ struct boot_walk w = {0};
    if (!boot || !claims->pcr_map) {
        finding_add(f, "boot.reference", VERDICT_REJECT, "reference values of the boot path",
                    "none");
        return;
    }
    if (boot_walk_begin(&w, boot, f) < 0) {
        finding_add(f, "boot.reference", VERDICT_REJECT, "memory for the appraisal", "none");
        return;
    }
    walk_records(&w, log, format, claims);
    boot_walk_end(&w);
}

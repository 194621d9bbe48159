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
    void (*walk)(struct boot_walk *w, const struct event *e);    /* NULL: waived by `waiver` */
    enum waiver waiver;
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

static bool is_command(const struct event *e)
{
    struct bytes command;
    return record_command(e, &command);
}

static bool knows_commands(struct boot_walk *w, const struct event *e)
{
    (void)e;
    return w->ref->grub_commands != NULL;
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
    {PCR(4), EV_EFI_BOOT_SERVICES_APPLICATION, NULL, NULL, boot_program},
    {PCR(2) | PCR(3) | PCR(4), EV_EFI_BOOT_SERVICES_DRIVER, NULL, NULL, reject_driver},
    {PCR(2) | PCR(3) | PCR(4), EV_EFI_RUNTIME_SERVICES_DRIVER, NULL, NULL, reject_driver},
    {PCR(8), EV_IPL, is_cmdline, NULL, boot_cmdline},
    {PCR(8), EV_IPL, is_command, knows_commands, boot_command},
    /* The sample's hash.json knows no commands. */
    {PCR(8), EV_IPL, form_grub_command, allow_grub, NULL, WAIVER_GRUB_COMMAND},
    {PCR(8), EV_IPL, is_command_text, NULL, reject_command},
    {PCR(14), EV_IPL, NULL, allow_mok, NULL, WAIVER_SHIM_MOK},
    {PCR(9), EV_IPL, is_path, NULL, boot_file},
    {0xff, EV_SEPARATOR, form_separator, NULL, NULL, WAIVER_SEPARATOR},
    {PCR(7), EV_EFI_VARIABLE_DRIVER_CONFIG, form_variable, NULL, NULL, WAIVER_SECURE_BOOT},
    {PCR(7), EV_EFI_VARIABLE_AUTHORITY, form_variable, NULL, NULL, WAIVER_SECURE_BOOT_AUTHORITY},
    {PCR(1), EV_EFI_VARIABLE_BOOT, form_boot_variable, NULL, NULL, WAIVER_BOOT_VARIABLE},
    {PCR(1), EV_EFI_VARIABLE_BOOT2, form_boot_variable, NULL, NULL, WAIVER_BOOT_VARIABLE},
    {PCR(1), EV_EFI_HANDOFF_TABLES, NULL, NULL, NULL, WAIVER_PLATFORM_TABLES},
    {PCR(1), EV_EFI_HANDOFF_TABLES2, NULL, NULL, NULL, WAIVER_PLATFORM_TABLES},
    {PCR(1), EV_PLATFORM_CONFIG_FLAGS, NULL, NULL, NULL, WAIVER_PLATFORM_TABLES},
    {PCR(5), EV_EFI_GPT_EVENT, form_partitions, NULL, NULL, WAIVER_PARTITION_TABLE},
    {PCR(4) | PCR(5), EV_EFI_ACTION, form_action, NULL, NULL, WAIVER_FIRMWARE_ACTION},
};

/* What one rule explained, for one finding in the end. */
struct explained {
    size_t count;
    struct buffer numbers; /* "1, 4-7", as far as it fits */
    size_t first, last;
};

#define NUMBERS_MAX 512
#define REJECTIONS_MAX 100 /* more tell nobody more */

static void flush_range(struct explained *w)
{
    if (w->last == 0 || w->numbers.size > NUMBERS_MAX)
        return;
    int r = buffer_printf(&w->numbers, w->first == w->last ? "%s%zu" : "%s%zu-%zu",
                          w->numbers.size ? ", " : "", w->first, w->last);
    (void)r; /* only the text for people suffers */
    w->last = 0;
}

static void waive(struct explained *w, size_t number)
{
    w->count++;
    if (w->last && w->last + 1 == number) {
        w->last = number;
        return;
    }
    flush_range(w);
    w->first = w->last = number;
}

/* "3 records: 1, 4-5" */
static void describe(struct explained *w, char *ret, size_t size)
{
    flush_range(w);
    snprintf(ret, size, "%zu record%s: %.*s%s", w->count, w->count == 1 ? "" : "s",
             (int)w->numbers.size, w->numbers.size ? (char *)w->numbers.data : "",
             w->numbers.size > NUMBERS_MAX ? ", ..." : "");
    buffer_free(&w->numbers);
}

/* The rule that fits the record; NULL if there is none. */
static const struct rule *find_rule(struct boot_walk *w, const struct event *e, uint32_t pcrs)
{
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        const struct rule *r = &rules[i];
        if ((r->pcrs & pcrs) && r->type == e->type && (!r->form || r->form(e)) &&
            (!r->allowed || r->allowed(w, e)))
            return r;
    }
    return NULL;
}

/* What the records of one log that the boot path knows nothing of were explained by. */
struct tally {
    struct explained waived[WAIVER_COUNT];
    struct explained listed; /* equal to a record of the policy */
};

static bool is_listed(const struct record_policy *policy, const struct event *e)
{
    for (size_t i = 0; i < policy->count; i++)
        if (policy->digests[i].size > 0 && digest_equal(&policy->digests[i], &e->digest))
            return true;
    return false;
}

static void explain(struct boot_walk *w, const struct event *e, enum waiver waiver,
                    const struct record_policy *policy, struct tally *t)
{
    char hex[DIGEST_HEX_SIZE], why[128];
    if (is_listed(policy, e)) {
        waive(&t->listed, w->number);
        return;
    }
    if (waives(policy->waivers, waiver)) {
        waive(&t->waived[waiver], w->number);
        return;
    }
    snprintf(why, sizeof(why), "a record of the policy; it does not waive \"%s\"",
             waiver_name(waiver));
    boot_unexplained(w, e, why);
    digest_hex(&e->digest, hex);
    finding_remedy(w->f,
                   "if it is as it should be: add \"%s\" to the policy's \"records\", or \"%s\" "
                   "to \"waive\" (encroot-policy(5) says what that gives up)",
                   hex, waiver_name(waiver));
}

static void walk_record(struct boot_walk *w, const struct event *e, uint32_t pcrs,
                        const struct record_policy *policy, struct tally *t)
{
    const struct rule *r = find_rule(w, e, pcrs);
    if (!r)
        boot_unexplained(w, e, NULL);
    else if (r->walk)
        r->walk(w, e);
    else
        explain(w, e, r->waiver, policy, t);
}

static void report(struct findings *f, struct tally *t)
{
    char text[NUMBERS_MAX + 128];
    describe(&t->listed, text, sizeof(text));
    if (t->listed.count > 0)
        finding_add(f, "log.listed", VERDICT_PASS, "records that the policy lists", text);
    for (int i = 0; i < WAIVER_COUNT; i++) {
        describe(&t->waived[i], text, sizeof(text));
        if (t->waived[i].count > 0)
            finding_waive(f, waiver_rules[i].check, (enum waiver)i, "%s", text);
    }
}

static void walk_records(struct boot_walk *w, const struct event_log *log,
                         enum event_log_format format, const struct platform_claims *claims,
                         const struct record_policy *policy)
{
    struct tally t = {0};
    for (size_t i = 0; i < log->count; i++) {
        const struct event *e = &log->events[i];
        if (w->f->rejected > REJECTIONS_MAX) {
            finding_add(w->f, "log.record", VERDICT_REJECT, "fewer rejections",
                        "the rest of the log was not looked at");
            break;
        }
        w->number = i + 1;
        if (record_register(e, format, claims) == 0)
            waive(&t.waived[WAIVER_NO_REGISTER], w->number);
        else
            walk_record(w, e, record_pcrs(e, format, claims), policy, &t);
    }
    report(w->f, &t);
}

/* The token's registers are in another hash than any of the values. */
static void reject_hash(const struct reference_values *boot, enum hash_alg alg, struct findings *f)
{
    char expected[80];
    const char *name = hash_name(alg);
    snprintf(expected, sizeof(expected), "reference values in %s, the hash of the token",
             name ? name : "an unknown hash");
    finding_addf(f, "boot.reference", VERDICT_REJECT, expected, "only %s%s", hash_name(boot->alg),
                 boot->sha384 ? " and sha-384" : "");
    finding_remedy(f, "make them anew, in every hash: encroot image measure -i IMAGE");
}

void appraise_boot(const struct event_log *log, enum event_log_format format,
                   const struct platform_claims *claims, const struct reference_values *boot,
                   const struct record_policy *policy, struct findings *f)
{
    _boot_walk_ struct boot_walk w = {0};
    if (!boot || !claims->pcr_map) {
        finding_add(f, "boot.reference", VERDICT_REJECT, "reference values of the boot path",
                    "none");
        return;
    }
    const struct reference_values *ref = reference_values_in(boot, claims->hash);
    if (!ref) {
        reject_hash(boot, claims->hash, f);
        return;
    }
    if (boot_walk_begin(&w, ref, f) < 0) {
        finding_add(f, "boot.reference", VERDICT_REJECT, "memory for the appraisal", "none");
        return;
    }
    walk_records(&w, log, format, claims, policy);
    boot_walk_end(&w);
}

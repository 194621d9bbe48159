/* The second sequence of the walk: what GRUB read. */
#include "appraise/boot.h"
#include "appraise/cmdline.h"

#include <string.h>

#define PATH_SHOWN 256
#define CMDLINE_SHOWN 8192

static const char cmdline_prefix[] = "kernel_cmdline: ";

/* A path that is not known (the sample's hash.json) is decided by the digest alone (E13); a known
 * one must be equal, not contained (E8). */
static bool path_fits(const char *path, const struct event *e)
{
    return !path || bytes_equal(record_path(e), BYTES_STR(path));
}

static bool fits_kernel(const struct reference_kernel *k, const struct event *e)
{
    return path_fits(k->path, e) &&
           (reference_matches(&k->kernel_file, e) || reference_matches(&k->kernel, e));
}

static bool fits_initramfs(const struct reference_kernel *k, const struct event *e)
{
    return path_fits(k->initramfs_path, e) && reference_matches(&k->initramfs, e);
}

static bool fits_cmdline(const struct reference_kernel *k, const struct event *e)
{
    struct bytes line = bytes_from(record_text(e), strlen(cmdline_prefix));
    for (size_t i = 0; line.size > 0 && k->cmdlines && k->cmdlines[i]; i++)
        if (bytes_equal(line, BYTES_STR(k->cmdlines[i])))
            return true;
    return false;
}

/* Known by its path, whatever its content: only to say *which* component differs. */
static bool named_kernel(const struct reference_kernel *k, const struct event *e)
{
    return k->path && path_fits(k->path, e);
}

static bool named_initramfs(const struct reference_kernel *k, const struct event *e)
{
    return k->initramfs_path && path_fits(k->initramfs_path, e);
}

static const struct {
    const char *check;
    const char *title;
    bool (*fits)(const struct reference_kernel *k, const struct event *e);
    bool (*named)(const struct reference_kernel *k, const struct event *e);
} kinds[] = {
    [SLOT_CONFIGURATION] = {"boot.grub.cfg", "configuration", NULL, NULL},
    [SLOT_KERNEL] = {"boot.kernel", "kernel", fits_kernel, named_kernel},
    [SLOT_CMDLINE] = {"boot.cmdline", "kernel command line", NULL, NULL},
    [SLOT_INITRAMFS] = {"boot.initramfs", "initramfs", fits_initramfs, named_initramfs},
};

static bool slot_fits(const struct boot_walk *w, const struct slot *s, const struct event *e)
{
    if (s->kind == SLOT_CONFIGURATION)
        return path_fits(s->file->path, e) && reference_matches(&s->file->digest, e);
    return kinds[s->kind].fits && boot_candidate_fits(w, kinds[s->kind].fits, e);
}

static bool slot_named(const struct boot_walk *w, const struct slot *s, const struct event *e)
{
    if (s->kind == SLOT_CONFIGURATION)
        return s->file->path && path_fits(s->file->path, e);
    return kinds[s->kind].named && boot_candidate_fits(w, kinds[s->kind].named, e);
}

/* "path (version), digests" of the entry's file. A kernel may be measured as read or as what it
 * decompresses to; either is as good as the other. */
static size_t describe_entry(const struct reference_kernel *k, enum slot_kind kind, char *ret,
                             size_t size)
{
    static const char unknown[] = "(not in the reference values)";
    char first[DIGEST_HEX_SIZE], second[DIGEST_HEX_SIZE];
    const char *version = k->version ? k->version : "?";
    digest_hex(kind == SLOT_KERNEL ? &k->kernel_file : &k->initramfs, first);
    digest_hex(&k->kernel, second);
    if (kind == SLOT_INITRAMFS)
        return (size_t)snprintf(ret, size, " %s (version %s), digest %s",
                                k->initramfs_path ? k->initramfs_path : "", version,
                                first[0] ? first : unknown);
    return (size_t)snprintf(ret, size, " %s (version %s), digest %s%s%s%s", k->path ? k->path : "",
                            version, first, first[0] && second[0] ? " or " : "", second,
                            second[0]  ? " decompressed"
                            : first[0] ? ""
                                       : unknown);
}

/* What would have been right here: of kernels, every entry that is still possible. */
static void describe_slot(const struct boot_walk *w, const struct slot *s, char *ret, size_t size)
{
    char hex[DIGEST_HEX_SIZE];
    if (s->kind == SLOT_CONFIGURATION) {
        digest_hex(&s->file->digest, hex);
        snprintf(ret, size, "configuration %s, digest %s", s->file->path ? s->file->path : "",
                 s->file->digest.size ? hex : "(not in the reference values)");
        return;
    }
    size_t n = (size_t)snprintf(ret, size, "%s", kinds[s->kind].title);
    for (size_t i = 0; i < w->ref->kernel_count && n < size && s->kind != SLOT_CMDLINE; i++)
        if (w->candidates[i])
            n += describe_entry(&w->ref->kernels[i], s->kind, ret + n, size - n);
}

static void reject_slot(struct boot_walk *w, const struct slot *s, const char *found)
{
    char expected[1024];
    describe_slot(w, s, expected, sizeof(expected));
    w->configuration_rejected |= s->kind == SLOT_CONFIGURATION;
    finding_add(w->f, kinds[s->kind].check, VERDICT_REJECT, expected, found);
    finding_remedy(w->f, REMEDY_IMAGE);
}

/* Slots before `to` were passed over: their components are missing. */
static void skip_slots(struct boot_walk *w, size_t to)
{
    for (; w->at < to; w->at++)
        reject_slot(w, &w->slots[w->at], "not there, or out of order");
}

static void accept_slot(struct boot_walk *w, const struct slot *s, const struct event *e,
                        const char *found)
{
    char expected[1024];
    if (kinds[s->kind].fits)
        boot_keep_candidates(w, kinds[s->kind].fits, e);
    describe_slot(w, s, expected, sizeof(expected));
    finding_add(w->f, kinds[s->kind].check, VERDICT_PASS, expected, found);
}

/* The first slot from here on for which `test` holds; slot_count if there is none. */
static size_t find_slot(const struct boot_walk *w, const struct event *e,
                        bool (*test)(const struct boot_walk *w, const struct slot *s,
                                     const struct event *e))
{
    for (size_t i = w->at; i < w->slot_count; i++)
        if (test(w, &w->slots[i], e))
            return i;
    return w->slot_count;
}

/* Without paths, a file that does not match is taken for what should have come now. */
static size_t guess_slot(const struct boot_walk *w)
{
    const struct slot *s = w->at < w->slot_count ? &w->slots[w->at] : NULL;
    bool nameless = s && s->kind == SLOT_CONFIGURATION && !s->file->path;
    return nameless ? w->at : w->slot_count;
}

void boot_file(struct boot_walk *w, const struct event *e)
{
    char hex[DIGEST_HEX_SIZE];
    char found[PATH_SHOWN * 4 + 256];
    _free_ char *path = text_escape(record_text(e), PATH_SHOWN);
    w->grub_ran = true;
    digest_hex(&e->digest, hex);
    snprintf(found, sizeof(found), "record %zu: %s, digest %s", w->number, path ? path : "", hex);
    size_t slot = find_slot(w, e, slot_fits);
    bool fits = slot < w->slot_count;
    if (!fits)
        slot = find_slot(w, e, slot_named);
    if (slot == w->slot_count)
        slot = guess_slot(w);
    if (slot == w->slot_count) {
        finding_add(w->f, "boot.file", VERDICT_REJECT,
                    "only files of the reference values, once and in their order", found);
        finding_remedy(w->f, REMEDY_IMAGE);
        return;
    }
    skip_slots(w, slot);
    if (fits)
        accept_slot(w, &w->slots[slot], e, found);
    else
        reject_slot(w, &w->slots[slot], found);
    w->at = slot + 1;
}

/* ---- the command line ---- */

/* The nearest of the command lines that would have been right. NULL: there is none. */
static const char *nearest_cmdline(const struct boot_walk *w, struct bytes line)
{
    const char *best = NULL;
    size_t best_distance = 0;
    for (size_t i = 0; i < w->ref->kernel_count; i++) {
        char *const *lines = w->ref->kernels[i].cmdlines;
        for (size_t j = 0; w->candidates[i] && lines && lines[j]; j++) {
            size_t distance = cmdline_distance(BYTES_STR(lines[j]), line);
            if (best && distance >= best_distance)
                continue;
            best = lines[j];
            best_distance = distance;
        }
    }
    return best;
}

static void reject_cmdline(struct boot_walk *w, struct bytes line, const char *shown)
{
    _buffer_ struct buffer found = {0};
    const char *nearest = nearest_cmdline(w, line);
    int r = 0;
    if (nearest)
        r = cmdline_describe(BYTES_STR(nearest), line, &found);
    if (r == 0)
        r = buffer_printf(&found, "%srecord %zu: %s", nearest ? ". All of it: " : "", w->number,
                          shown);
    if (r == 0)
        r = buffer_append(&found, "", 1);
    finding_add(w->f, "boot.cmdline", VERDICT_REJECT,
                nearest ? nearest : "the reference values have no command line for this kernel",
                r == 0 ? (const char *)found.data : shown);
    finding_remedy(w->f, REMEDY_IMAGE);
}

static size_t find_cmdline_slot(const struct boot_walk *w)
{
    for (size_t i = w->at; i < w->slot_count; i++)
        if (w->slots[i].kind == SLOT_CMDLINE)
            return i;
    return w->slot_count;
}

void boot_cmdline(struct boot_walk *w, const struct event *e)
{
    struct bytes line = bytes_from(record_text(e), strlen(cmdline_prefix));
    _free_ char *shown = text_escape(line, CMDLINE_SHOWN);
    size_t slot = find_cmdline_slot(w);
    w->grub_ran = true;
    if (slot == w->slot_count) {
        finding_addf(w->f, "boot.cmdline", VERDICT_REJECT, "one command line, once",
                     "record %zu: again, or out of order: %s", w->number, shown ? shown : "");
        return;
    }
    skip_slots(w, slot);
    w->at = slot + 1;
    if (!record_measures(e, line)) { /* E13 */
        finding_addf(w->f, "boot.cmdline", VERDICT_REJECT, "a text whose digest was measured",
                     "record %zu: its digest is another: %s", w->number, shown ? shown : "");
        return;
    }
    if (!boot_candidate_fits(w, fits_cmdline, e)) {
        reject_cmdline(w, line, shown ? shown : "");
        return;
    }
    boot_keep_candidates(w, fits_cmdline, e);
    finding_add(w->f, "boot.cmdline", VERDICT_PASS, shown, shown);
}

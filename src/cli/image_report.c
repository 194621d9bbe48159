#include "cli/image_report.h"
#include "base/hex.h"
#include "cli/plain_text.h"
#include "cli/progress.h"

#include <string.h>

/* ---- JSON ---- */
static json_t *strings_json(char *const *list)
{
    json_t *array = json_array();
    for (; list && *list; list++)
        json_array_append_new(array, plain_json(*list));
    return array;
}

/* What the kernel gets, without its path. */
static json_t *words_json(char *const *words)
{
    _buffer_ struct buffer line = {0};
    if (cmdline_join(&line, "", words) < 0 || buffer_append(&line, "", 1) < 0)
        return NULL;
    size_t skip = *line.data ? 1 : 0; /* the blank behind the path */
    return plain_json((const char *)line.data + skip);
}

json_t *image_report_entries(const struct bootplan *p)
{
    json_t *array = json_array();
    for (size_t i = 0; i < p->count; i++) {
        const struct boot_entry *e = &p->entries[i];
        json_array_append_new(
            array, json_pack("{s:o, s:o, s:o, s:o, s:o}", "title", plain_json(e->title), "version",
                             plain_json(e->version), "kernel", plain_json(e->kernel), "cmdline",
                             words_json(e->args), "initrd", strings_json(e->initrds)));
    }
    return array;
}

json_t *image_report_removed(const struct bootplan *p)
{
    json_t *array = json_array();
    for (size_t i = 0; i < p->removed_count; i++)
        json_array_append_new(array,
                              json_pack("{s:o, s:o}", "title", plain_json(p->removed[i].title),
                                        "reason", plain_json(p->removed[i].reason)));
    return array;
}

static const char *use_of(const struct layout *l, int index)
{
    if (index == l->root)
        return "root";
    if (index == l->boot)
        return index == l->esp ? "boot, esp" : "boot";
    return index == l->esp ? "esp" : "";
}

json_t *image_report_partitions(const struct layout *l)
{
    json_t *array = json_array();
    for (size_t i = 0; i < l->table.count; i++) {
        const struct partition *p = &l->table.parts[i];
        const struct fs_info *info = &l->parts[i].info;
        json_array_append_new(array,
                              json_pack("{s:i, s:o, s:s, s:o, s:o, s:I, s:I, s:s}", "number",
                                        (int)p->number, "name", plain_json(p->name), "type",
                                        info->type_name, "uuid", plain_json(info->uuid), "label",
                                        plain_json(info->label), "start", (json_int_t)p->start,
                                        "size", (json_int_t)p->size, "use", use_of(l, (int)i)));
    }
    return array;
}

static const char *growth_name(enum growth g)
{
    static const char *const names[] = {[GROWTH_IN_PLACE] = "grown in place",
                                        [GROWTH_DISK] = "grown, with a larger disk",
                                        [GROWTH_MOVED] = "moved to the end of the disk"};
    return names[g];
}

static json_t *kernels_json(const struct image_plan *p)
{
    json_t *array = json_array();
    for (size_t i = 0; i < p->kernel_count; i++) {
        const struct image_kernel *k = &p->kernels[i];
        json_array_append_new(array,
                              json_pack("{s:o, s:o, s:I, s:I}", "version", plain_json(k->version),
                                        "initramfs", plain_json(k->initramfs_path),
                                        "initramfs_size", (json_int_t)k->initramfs.size, "modules",
                                        (json_int_t)k->module_count));
    }
    return array;
}

/* Entries with the command line that they have now, and the words that were taken out of it. */
static json_t *rewritten_entries(const struct image_plan *p)
{
    json_t *array = json_array();
    for (size_t i = 0; i < p->boot.count; i++)
        json_array_append_new(array, json_pack("{s:o, s:o, s:o, s:o}", "title",
                                               plain_json(p->boot.entries[i].title), "version",
                                               plain_json(p->boot.entries[i].version), "cmdline",
                                               words_json(p->cmdlines[i].words), "removed_words",
                                               strings_json(p->cmdlines[i].removed)));
    return array;
}

json_t *image_report_encrypted(const struct image_plan *p, const struct image_target *t,
                               const struct encrypt_stats *s)
{
    const struct partition *root = &p->table.parts[p->layout.root];
    char uuid[UUID_TEXT_SIZE];
    uuid_format(p->volume_uuid, uuid);
    return json_pack("{s:o, s:o, s:s, s:o, s:{s:s, s:i, s:s, s:I, s:i, s:I, s:I}, s:I, s:o, s:o, "
                     "s:o, s:o}",
                     "input", plain_json(p->layout.path), "output", plain_json(t->path), "format",
                     image_format_name(t->format), "hash_json", plain_json(t->reference_path),
                     "root", "volume", uuid, "partition", (int)root->number, "placed",
                     growth_name(p->growth), "size", (json_int_t)root->size, "sector_size",
                     (int)p->sector_size, "encrypted", (json_int_t)s->encrypted, "skipped",
                     (json_int_t)s->skipped, "disk_size", (json_int_t)p->table.disk_size, "kernels",
                     kernels_json(p), "entries", rewritten_entries(p), "removed_entries",
                     image_report_removed(&p->boot), "warnings", strings_json(p->warnings));
}

void image_report_json(const json_t *report)
{
    json_dumpf(report, stdout, JSON_INDENT(2));
    putchar('\n');
}

/* ---- for people ---- */
static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static uint64_t number(const json_t *o, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(o, key));
}

void image_report_print_removed(const json_t *removed)
{
    size_t i;
    const json_t *e;
    json_array_foreach(removed, i, e)
    {
        plain_line(stdout, "%-12s \"%s\": %s", i ? "" : "left out", text(e, "title"),
                   text(e, "reason"));
    }
}

static void print_entries(const json_t *report)
{
    size_t i, k;
    const json_t *e, *w;
    json_array_foreach(json_object_get(report, "kernels"), i, e)
    {
        char size[SIZE_TEXT];
        plain_line(stdout, "%-12s %s: %s, %s, %llu modules", i ? "" : "kernels", text(e, "version"),
                   text(e, "initramfs"), size_text(number(e, "initramfs_size"), size),
                   (unsigned long long)number(e, "modules"));
    }
    json_array_foreach(json_object_get(report, "entries"), i, e)
    {
        plain_line(stdout, "%-12s \"%s\": %s", i ? "" : "entries", text(e, "title"),
                   text(e, "cmdline"));
        json_array_foreach(json_object_get(e, "removed_words"), k, w)
            plain_line(stdout, "%-12s   without %s", "", json_string_value(w));
    }
    image_report_print_removed(json_object_get(report, "removed_entries"));
    json_array_foreach(json_object_get(report, "warnings"), i, w)
        plain_line(stdout, "%-12s %s", "warning", json_string_value(w));
}

static void print_vault(const json_t *vault, size_t brokers)
{
    if (!json_is_true(json_object_get(vault, "registered")))
        return;
    plain_line(stdout, "%-12s registered at %s as %s", "vault", text(vault, "broker"),
               text(vault, "name"));
    if (!brokers)
        puts("note         the guest asks no broker by itself: --broker HOST makes it");
}

void image_report_print_encrypted(const json_t *report, const char *folder)
{
    const json_t *root = json_object_get(report, "root");
    char size[SIZE_TEXT], encrypted[SIZE_TEXT], skipped[SIZE_TEXT];
    plain_line(stdout, "%-12s %s (%s)", "encrypted", text(report, "output"),
               text(report, "format"));
    plain_line(stdout, "%-12s partition %llu, %s, %s; %s encrypted, %s free and left out", "root",
               (unsigned long long)number(root, "partition"), size_text(number(root, "size"), size),
               text(root, "placed"), size_text(number(root, "encrypted"), encrypted),
               size_text(number(root, "skipped"), skipped));
    plain_line(stdout, "%-12s %s, aes-xts-plain64, sectors of %llu bytes", "volume",
               text(root, "volume"), (unsigned long long)number(root, "sector_size"));
    print_entries(report);
    plain_line(stdout, "%-12s %s", "hash.json", text(report, "hash_json"));
    size_t brokers = json_array_size(json_object_get(report, "brokers"));
    print_vault(json_object_get(report, "vault"), brokers);
    if (brokers)
        printf("\nNext: boot it; the agent dials %zu broker%s by itself.\n", brokers,
               brokers == 1 ? "" : "s");
    if (!number(report, "listen_port"))
        return;
    puts(brokers ? "It listens, too:"
                 : "\nNext: boot it; its console names an address and a port. Then");
    plain_line(stdout, "  encroot unlock -i ADDRESS -m RIM -f %s%s%s", text(report, "hash_json"),
               strcmp(folder, ".") == 0 ? "" : " -d ", strcmp(folder, ".") == 0 ? "" : folder);
}

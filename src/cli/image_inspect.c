/*
 * `encroot image inspect`: what encroot sees in an image.
 */
#include "cli/command.h"
#include "cli/image_report.h"
#include "cli/options.h"
#include "cli/plain_text.h"
#include "cli/progress.h"
#include "image/grubgen.h"
#include "image/measure_image.h"

#include <string.h>

static bool made_by_encroot(const struct bootpath *p)
{
    return p->main_text.size > strlen(GRUBGEN_MARK) &&
           memcmp(p->main_text.data, GRUBGEN_MARK, strlen(GRUBGEN_MARK)) == 0;
}

/* The boot part: what cannot be found is said, not an error. */
static int inspect_boot(json_t *o, struct layout *l, struct error *err)
{
    _bootpath_ struct bootpath p = {0};
    _bootplan_ struct bootplan plan = {0};
    int r = layout_find_boot(l, err);
    if (r == 0)
        r = bootpath_read(&p, l, err);
    if (r == 0)
        r = boot_entries(&plan, l, &p, err);
    if (r < 0)
        return r;
    bool encrypted = made_by_encroot(&p) && l->root == LAYOUT_NONE;
    json_object_update_new(
        o, json_pack("{s:b, s:o, s:o, s:o, s:o, s:o}", "encrypted_by_encroot", (int)encrypted,
                     "shim", p.shim ? plain_json(p.shim) : json_null(), "grub", plain_json(p.grub),
                     "grub.cfg", plain_json(p.main_path), "entries", image_report_entries(&plan),
                     "removed_entries", image_report_removed(&plan)));
    return 0;
}

static int inspect(json_t **ret, const char *path, struct error *err)
{
    _layout_ struct layout l = {0};
    _json_ json_t *o = json_object();
    struct error root = {0}, boot = {0};
    int r = layout_open(&l, path, err);
    if (r < 0)
        return r;
    if (layout_find_root(&l, 0, &root) < 0 && root.code != EALREADY)
        json_object_set_new(o, "root_problem", plain_json(root.text));
    if (inspect_boot(o, &l, &boot) < 0)
        json_object_set_new(o, "boot_problem", plain_json(boot.text));
    json_object_set_new(o, "image", plain_json(path));
    json_object_set_new(o, "format", json_string(image_format_name(l.format)));
    json_object_set_new(o, "disk_size", json_integer((json_int_t)l.table.disk_size));
    json_object_set_new(o, "partitions", image_report_partitions(&l));
    *ret = json_incref(o);
    return 0;
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void print_partitions(const json_t *o)
{
    size_t i;
    const json_t *p;
    char size[SIZE_TEXT];
    json_array_foreach(json_object_get(o, "partitions"), i, p)
    {
        size_text((uint64_t)json_integer_value(json_object_get(p, "size")), size);
        plain_line(stdout, "%-12s %lld  %-10s %-12s %-9s %s %s", i ? "" : "partitions",
                   (long long)json_integer_value(json_object_get(p, "number")), size,
                   text(p, "type"), text(p, "use"), text(p, "uuid"), text(p, "name"));
    }
}

static void print_all(const json_t *o)
{
    static const char *const lines[] = {"shim", "grub", "grub.cfg", "root_problem", "boot_problem"};
    size_t i;
    const json_t *e;
    char size[SIZE_TEXT];
    plain_line(stdout, "%-12s %s (%s, %s)", "image", text(o, "image"), text(o, "format"),
               size_text((uint64_t)json_integer_value(json_object_get(o, "disk_size")), size));
    plain_line(stdout, "%-12s %s", "encrypted",
               json_is_true(json_object_get(o, "encrypted_by_encroot")) ? "yes, by encroot" : "no");
    print_partitions(o);
    for (i = 0; i < ARRAY_SIZE(lines); i++)
        if (*text(o, lines[i]))
            plain_line(stdout, "%-12s %s", strstr(lines[i], "_problem") ? "problem" : lines[i],
                       text(o, lines[i]));
    json_array_foreach(json_object_get(o, "entries"), i, e)
        plain_line(stdout, "%-12s \"%s\": %s %s", i ? "" : "entries", text(e, "title"),
                   text(e, "kernel"), text(e, "cmdline"));
    image_report_print_removed(json_object_get(o, "removed_entries"));
}

int cmd_image_inspect(int argc, char **argv)
{
    const char *input = NULL;
    bool json = false;
    const struct option_spec options[] = {
        {'i', "input", OPTION_STRING, "IMAGE", "the image, raw or qcow2; it is only read", &input,
         0, 0},
        {0, "json", OPTION_FLAG, NULL, "print JSON", &json, 0, 0},
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot image inspect -i IMAGE [--json]",
        .about = "Show what encroot sees in an image: partitions and what they are used for, the\n"
                 "boot loader, menu entries and their kernels, those that `image encrypt` would\n"
                 "leave out and why, and whether encroot encrypted it.",
        .options = options,
        .example = "  encroot image inspect -i debian.qcow2",
    };
    int code = options_parse(&u, argc, argv, NULL);
    if (code != OPTIONS_DONE)
        return code;
    if (!input)
        return usage_error(&u, "-i is missing");
    struct error err = {0};
    _json_ json_t *o = NULL;
    int r = inspect(&o, input, &err);
    if (r < 0)
        return report_error(&err, exit_code_for(r), json);
    if (json)
        image_report_json(o);
    else
        print_all(o);
    return EXIT_OK;
}

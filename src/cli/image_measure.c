/*
 * `encroot image measure`: the reference values of an image as it is.
 */
#include "cli/command.h"
#include "cli/image_report.h"
#include "cli/image_values.h"
#include "cli/options.h"
#include "cli/plain_text.h"

struct arguments {
    const char *input, *output;
    uint64_t root_partition;
    bool force, json;
};

static int write_values(const struct arguments *a, struct bytes text, struct error *err)
{
    if (!a->output) {
        size_t n = fwrite(text.data, 1, text.size, stdout);
        return n < text.size ? error_errno(err, errno, "standard output") : 0;
    }
    return write_file_atomic(a->output, text, 0644, a->force, err);
}

static int measure(const struct arguments *a, struct error *err)
{
    _bootplan_ struct bootplan plan = {0};
    _reference_values_ struct reference_values v = {0};
    _buffer_ struct buffer text = {0};
    char volume[64];
    int r = image_values(&v, &plan, volume, a->input, (unsigned)a->root_partition, err);
    if (r == 0)
        r = reference_values_format(&v, &text, err);
    if (r == 0)
        r = write_values(a, buffer_bytes(&text), err);
    /* On stderr when the values themselves are on stdout. */
    for (size_t i = 0; r == 0 && !a->json && i < plan.removed_count; i++)
        plain_line(stderr, "left out: \"%s\": %s", plan.removed[i].title, plan.removed[i].reason);
    return r;
}

int cmd_image_measure(int argc, char **argv)
{
    struct arguments a = {0};
    const struct option_spec options[] = {
        {'i', "input", OPTION_STRING, "IMAGE", "the image, raw or qcow2; it is only read", &a.input,
         0, 0},
        {'o', "output", OPTION_STRING, "FILE", "where to write them (default: stdout)", &a.output,
         0, 0},
        {0, "root-partition", OPTION_UINT, "N", "which partition is the root (default: found)",
         &a.root_partition, 1, PARTITIONS_MAX},
        {0, "force", OPTION_FLAG, NULL, "replace an existing FILE", &a.force, 0, 0},
        {0, "json", OPTION_FLAG, NULL, "report errors as JSON, and no entries on stderr", &a.json,
         0, 0},
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot image measure -i IMAGE [-o FILE] [OPTION...]",
        .about =
            "Predict what the boot of an image will measure, from the image alone: shim, GRUB,\n"
            "its configuration, and for each kernel the file, the initramfs and the command\n"
            "lines. Works on ordinary images and on encrypted ones. Menu entries that encroot\n"
            "would not accept (recovery mode, other boot loaders) are left out and named.",
        .options = options,
        .example = "  encroot image measure -i debian.qcow2 -o debian.hash.json",
    };
    int code = options_parse(&u, argc, argv, NULL);
    if (code != OPTIONS_DONE)
        return code;
    if (!a.input)
        return usage_error(&u, "-i is missing");
    struct error err = {0};
    int r = measure(&a, &err);
    return r < 0 ? report_error(&err, exit_code_for(r), a.json) : EXIT_OK;
}

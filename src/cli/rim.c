/*
 * `encroot rim`: the initial measurement of a virtCCA guest, from its files or from the QEMU
 * command line that starts it.
 */
#include "base/io.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/rim_report.h"
#include "measure/qemu_device_tree.h"

#include <string.h>

#define NOT_GIVEN UINT64_MAX

struct arguments {
    const char *firmware, *kernel, *initrd, *dtb, *dtb_out;
    uint64_t vcpus, sve_bits, pmu_counters, timeout;
    bool qemu, force, json;
    char **command; /* QEMU's */
};

/* ---- what the options say ---- */

static void give(struct qemu_number *n, uint64_t value, const char *option)
{
    if (value == NOT_GIVEN)
        return;
    n->value = (unsigned)value;
    snprintf(n->origin, sizeof(n->origin), "%s", option);
}

static void give_numbers(struct rim_inputs *in, const struct arguments *a)
{
    give(&in->vcpus, a->vcpus, "-v");
    give(&in->sve_bits, a->sve_bits, "-s");
    give(&in->pmu_counters, a->pmu_counters, "-m");
}

static int check_modes(const struct usage *u, const struct arguments *a)
{
    if (a->firmware && a->kernel)
        return usage_error(u, "-f and -k exclude each other: a guest starts from its firmware, or "
                              "directly from a kernel");
    if (!a->firmware && !a->kernel)
        return usage_error(u, "-f FIRMWARE, -k IMAGE or --qemu is missing: what does the guest "
                              "start from?");
    if (a->initrd && !a->kernel)
        return usage_error(u, "-i goes with -k: with -f, the firmware's boot loader loads the "
                              "initrd, and the event log has it");
    if (!a->dtb)
        return usage_error(u, "-d is missing: dump the device tree with QEMU's -machine "
                              "dumpdtb=FILE, or use --qemu");
    return OPTIONS_DONE;
}

static int check_qemu_mode(const struct usage *u, const struct arguments *a)
{
    const struct {
        bool given;
        const char *option, *instead;
    } foreign[] = {
        {a->firmware, "-f", "-bios or -drive if=pflash"},
        {a->kernel, "-k", "-kernel"},
        {a->initrd, "-i", "-initrd"},
        {a->dtb, "-d", "QEMU itself (--dtb-out keeps it)"},
        {a->vcpus != NOT_GIVEN, "-v", "-smp"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
        if (foreign[i].given)
            return usage_error(u, "%s and --qemu exclude each other: with --qemu it comes from %s",
                               foreign[i].option, foreign[i].instead);
    if (!a->command[0])
        return usage_error(u, "QEMU's command line is missing: write it behind --");
    return OPTIONS_DONE;
}

static int check_numbers(const struct usage *u, const struct arguments *a)
{
    struct rim_inputs in = {.vcpus.value = 1};
    struct error err = {0};
    give_numbers(&in, a);
    const struct rim_machine m = {in.vcpus.value, in.sve_bits.value, in.pmu_counters.value};
    return rim_machine_check(&m, &err) < 0 ? usage_error(u, "%s", err.text) : OPTIONS_DONE;
}

/* QEMU's words would be taken for ours if they did not all stand behind a "--". */
static int check_operands(const struct usage *u, const struct arguments *a, int operands,
                          int behind)
{
    if (a->qemu && operands != behind)
        return usage_error(u, "write -- between encroot's options and QEMU's command line");
    if (!a->qemu && operands > 0)
        return usage_error(u, "unexpected \"%s\": a QEMU command line goes with --qemu",
                           a->command[0]);
    if (!a->qemu && a->dtb_out)
        return usage_error(u,
                           "--dtb-out goes with --qemu: the device tree of -d is a file already");
    return OPTIONS_DONE;
}

static int words_behind_dashes(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--") == 0)
            return argc - i - 1;
    return -1;
}

/* ---- the work ---- */

static int finish(const struct arguments *a, struct rim_inputs *in, struct error *err)
{
    _json_ json_t *report = NULL;
    give_numbers(in, a);
    int r = rim_report(&report, in, err);
    if (r == 0 && a->dtb_out)
        r = write_file_atomic(a->dtb_out, buffer_bytes(&in->device_tree), 0644, a->force, err);
    if (r < 0)
        return r;
    if (a->json) {
        json_dumpf(report, stdout, JSON_INDENT(2));
        putchar('\n');
        return 0;
    }
    rim_report_print(report);
    if (a->qemu)
        rim_report_explain(report);
    return 0;
}

static int from_files(const struct arguments *a, struct rim_inputs *in, struct error *err)
{
    const struct qemu_number none = {0, "default: none"};
    in->firmware = a->firmware;
    in->kernel = a->kernel;
    in->initrd = a->initrd;
    in->dtb = a->dtb;
    in->vcpus = (struct qemu_number){1, "default: one"};
    in->sve_bits = in->pmu_counters = none;
    return finish(a, in, err);
}

/* A signal is a reason to stop also between two runs of QEMU. */
static int make_device_tree(const struct arguments *a, struct buffer *ret, struct error *err)
{
    struct progress progress = terminal_progress(true, NULL);
    cancel_on_signals();
    int r = qemu_device_tree(ret, a->command, (unsigned)a->timeout, err);
    if (r == 0 && progress.report(progress.arg, "", 0, 0) == -ECANCELED)
        r = error_set(err, ECANCELED, "interrupted");
    return r;
}

static int from_qemu(const struct arguments *a, struct rim_inputs *in, struct error *err)
{
    _qemu_command_ struct qemu_command c = {0};
    int r = qemu_command_parse(&c, a->command, err);
    if (r == 0 && a->dtb_out && !a->force && access(a->dtb_out, F_OK) == 0)
        r = error_hint(err, error_set(err, EEXIST, "%s: already exists", a->dtb_out),
                       "remove it, choose another name, or say --force");
    if (r == 0)
        r = make_device_tree(a, &in->device_tree, err);
    if (r < 0)
        return r;
    in->firmware = c.firmware;
    in->kernel = c.kernel;
    in->initrd = c.initrd;
    in->vcpus = c.vcpus;
    in->sve_bits = c.sve_bits;
    in->pmu_counters = c.pmu_counters;
    r = finish(a, in, err);
    if (r == 0 && c.firmware && c.kernel && !a->json)
        fputs("not in the RIM: -kernel and -initrd, which the firmware loads and measures itself\n",
              stderr);
    return r;
}

static int parse(struct arguments *a, int argc, char **argv)
{
    const struct option_spec options[] = {
        {'f', "firmware", OPTION_STRING, "FILE", "the guest starts from this firmware",
         &a->firmware, 0, 0},
        {'k', "kernel", OPTION_STRING, "FILE", "direct boot: the kernel, an arm64 Image",
         &a->kernel, 0, 0},
        {'i', "initrd", OPTION_STRING, "FILE", "direct boot: the initrd", &a->initrd, 0, 0},
        {'d', "dtb", OPTION_STRING, "FILE", "the device tree that QEMU's dumpdtb wrote", &a->dtb, 0,
         0},
        {'v', "vcpu", OPTION_UINT, "N", "vCPUs (default: 1)", &a->vcpus, 1, RIM_VCPUS_MAX},
        {'s', "sve", OPTION_UINT, "BITS", "length of SVE vectors (default: no SVE)", &a->sve_bits,
         0, RIM_SVE_BITS_MAX},
        {'m', "pmu", OPTION_UINT, "N", "PMU counters (default: no PMU)", &a->pmu_counters, 0,
         RIM_PMU_COUNTERS_MAX},
        {0, "qemu", OPTION_FLAG, NULL,
         "take all of it from the QEMU command line behind --;\n-s and -m still count", &a->qemu, 0,
         0},
        {0, "dtb-out", OPTION_STRING, "FILE", "with --qemu: keep the device tree, for -d",
         &a->dtb_out, 0, 0},
        {0, "timeout", OPTION_UINT, "SECONDS",
         "with --qemu: how long QEMU may take to write it\n(default: 60)", &a->timeout, 1, 3600},
        {0, "force", OPTION_FLAG, NULL, "replace an existing --dtb-out", &a->force, 0, 0},
        {0, "json", OPTION_FLAG, NULL, "print the RIM and what it was computed from as JSON",
         &a->json, 0, 0},
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot rim -f FIRMWARE -d DTB [OPTION...]\n"
                    "       encroot rim -k IMAGE [-i INITRD] -d DTB [OPTION...]\n"
                    "       encroot rim --qemu [OPTION...] -- QEMU ARGUMENT...",
        .about =
            "Compute the initial measurement (RIM) that virtCCA's TMM will have for a guest: what\n"
            "`encroot unlock -m` must be told. It covers the firmware, or kernel and initrd of a\n"
            "direct boot; the device tree, so memory, devices and a direct boot's command line;\n"
            "and the vCPUs. The first two forms take what the vendor's gen_rim_ref takes.\n"
            "\n"
            "With --qemu the command line that starts the guest is enough: that QEMU is run to\n"
            "write its device tree (-machine dumpdtb) and ends. The guest is not started. What\n"
            "was used is told on stderr, and what was assumed. Do not use it while the guest\n"
            "runs: QEMU opens the disks and sockets that its command line names.",
        .options = options,
        .example = "  encroot rim -f QEMU_EFI.fd -d virt.dtb -v 4\n"
                   "  encroot rim --qemu -- qemu-system-aarch64 -machine virt,kvm-type=cvm \\\n"
                   "      -object tmm-guest,id=tmm0 -smp 4 -m 4G -bios QEMU_EFI.fd ...",
    };
    int first, behind = words_behind_dashes(argc, argv);
    int code = options_parse(&u, argc, argv, &first);
    if (code == EXIT_USAGE && a->qemu && behind < 0)
        fputs("write -- between encroot's options and QEMU's command line\n", stderr);
    if (code != OPTIONS_DONE)
        return code;
    a->command = argv + first;
    code = check_operands(&u, a, argc - first, behind);
    if (code == OPTIONS_DONE)
        code = a->qemu ? check_qemu_mode(&u, a) : check_modes(&u, a);
    return code == OPTIONS_DONE ? check_numbers(&u, a) : code;
}

int cmd_rim(int argc, char **argv)
{
    struct arguments a = {
        .vcpus = NOT_GIVEN, .sve_bits = NOT_GIVEN, .pmu_counters = NOT_GIVEN, .timeout = 60};
    int code = parse(&a, argc, argv);
    if (code != OPTIONS_DONE)
        return code;
    struct rim_inputs in = {0};
    struct error err = {0};
    int r = a.qemu ? from_qemu(&a, &in, &err) : from_files(&a, &in, &err);
    buffer_free(&in.device_tree);
    return r < 0 ? report_error(&err, exit_code_for(r), a.json) : EXIT_OK;
}

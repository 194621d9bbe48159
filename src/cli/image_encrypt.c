/*
 * `encroot image encrypt`: plan everything, then write the new image.
 */
#include "base/hex.h"
#include "cli/command.h"
#include "cli/image_report.h"
#include "cli/image_vault.h"
#include "cli/meeting.h"
#include "cli/options.h"
#include "cli/paths.h"
#include "cli/progress.h"
#include "crypto/tls.h"
#include "crypto/volume_key.h"
#include "image/encrypt_image.h"
#include "image/text.h"

#include <string.h>
#include <sys/stat.h>

#define HASH_JSON_MAX ((size_t)4 << 20)

struct arguments {
    const char *input, *references, *output, *folder, *key, *format, *ip, *append, *on_failure;
    const char *agent, *hash_out;
    struct meeting_options meeting;
    uint64_t root_partition, deadline;
    bool full, force, json, quiet;
    struct vault_options vault;
};

static const struct {
    const char *name;
    enum image_format format;
} formats[] = {{"qcow2", IMAGE_QCOW2}, {"raw", IMAGE_RAW}};

static const struct {
    const char *name;
    enum agent_failure_action action;
} failure_actions[] = {{"reboot", AGENT_REBOOT}, {"poweroff", AGENT_POWEROFF}};

/* Everything that the plan borrows. */
struct inputs {
    struct paths paths;
    struct secret *secret;
    struct buffer agent;
    struct reference_values references;
    char **append;
    char *hash_out;
    struct meeting meeting;
    struct image_request request;
    struct image_target target;
};

static void inputs_free(struct inputs *in)
{
    paths_free(&in->paths);
    secret_free(in->secret);
    buffer_free(&in->agent);
    reference_values_free(&in->references);
    strings_free(in->append);
    free(in->hash_out);
}

static int no_memory(struct error *err)
{
    return error_set(err, ENOMEM, "out of memory");
}

/* ---- what the options say ---- */
static int choose_format(const struct arguments *a, enum image_format *ret, struct error *err)
{
    const char *name = a->format;
    if (!name)
        name = ends_with(a->output, ".raw") || ends_with(a->output, ".img") ? "raw" : "qcow2";
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
        if (strcmp(name, formats[i].name) == 0) {
            *ret = formats[i].format;
            return 0;
        }
    return error_set(err, EINVAL, "--format: expected qcow2 or raw, found \"%s\"", name);
}

static int choose_action(const struct arguments *a, enum agent_failure_action *ret,
                         struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(failure_actions); i++)
        if (strcmp(a->on_failure, failure_actions[i].name) == 0) {
            *ret = failure_actions[i].action;
            return 0;
        }
    return error_set(err, EINVAL, "--on-failure: expected reboot or poweroff, found \"%s\"",
                     a->on_failure);
}

/* "disk.qcow2" → "disk.hash.json" */
static char *default_hash_out(const char *output)
{
    static const char *const extensions[] = {".qcow2", ".raw", ".img"};
    size_t n = strlen(output);
    for (size_t i = 0; i < ARRAY_SIZE(extensions); i++)
        if (ends_with(output, extensions[i])) {
            n -= strlen(extensions[i]);
            break;
        }
    char *ret;
    return asprintf(&ret, "%.*s.hash.json", (int)n, output) < 0 ? NULL : ret;
}

/* Beside this program (a build folder), else where it is installed. */
static int find_agent(const struct arguments *a, struct buffer *ret, struct error *err)
{
    char self[4096];
    _free_ char *beside = NULL;
    const char *path = a->agent;
    if (!path) {
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        self[n > 0 ? n : 0] = '\0';
        char *slash = strrchr(self, '/');
        if (asprintf(&beside, "%.*s/encroot-agent", slash ? (int)(slash - self) : 0, self) < 0)
            return no_memory(err);
        path = access(beside, R_OK) == 0 ? beside : ENCROOT_AGENT_PATH;
    }
    int r = read_file(path, AGENT_FILE_MAX, ret, err);
    return r < 0 ? error_hint(err, r, "--agent FILE says where encroot-agent is") : 0;
}

static int load_references(const struct arguments *a, struct inputs *in, struct error *err)
{
    _buffer_ struct buffer text = {0};
    if (!a->references)
        return 0;
    int r = read_file(a->references, HASH_JSON_MAX, &text, err);
    if (r == 0)
        r = reference_values_parse(&in->references, buffer_bytes(&text), a->references, err);
    in->request.references = &in->references;
    return r;
}

static int load_command_line(const struct arguments *a, struct inputs *in, struct error *err)
{
    int r = a->ip ? cmdline_check_ip(a->ip, err) : 0;
    if (r == 0 && a->append)
        r = cmdline_split_append(&in->append, a->append, err);
    in->request.cmdline = (struct cmdline_options){.ip = a->ip, .append = in->append};
    return r;
}

static int load_keys(const struct arguments *a, struct inputs *in, struct error *err)
{
    const char *key = a->key ? a->key : in->paths.rootfs_key;
    int r = 0;
    if (a->vault.no_key_file) {
        in->secret = secret_random(VOLUME_SECRET_SIZE);
        if (!in->secret)
            return no_memory(err);
    } else {
        r = secret_read_file(&in->secret, key, VOLUME_SECRET_SIZE, true, err);
    }
    if (r == 0)
        r = tls_certificate_pin(in->request.pins[0], in->paths.broker_cert, err);
    in->request.secret = in->secret;
    in->request.pin_count = 1;
    return r == -ENOENT && !a->key
               ? error_hint(err, r, "make what is missing with: encroot init %s", a->folder)
               : r;
}

/* The input is never written, so it can be no output either. */
static int check_output(const char *input, const char *output, struct error *err)
{
    struct stat a, b;
    if (stat(output, &b) < 0)
        return 0;
    if (stat(input, &a) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return error_set(err, EINVAL, "%s: is the input", output);
    if (!S_ISREG(b.st_mode))
        return error_set(err, EINVAL, "%s: expected a name for a new file, found something else",
                         output);
    return 0;
}

static int check_absent(const char *output, bool force, struct error *err)
{
    if (force || !name_is_taken(output))
        return 0;
    return error_hint(err, error_set(err, EEXIST, "%s: already exists", output),
                      "remove it, choose another name, or say --force");
}

static int load_target(const struct arguments *a, struct inputs *in, struct error *err)
{
    in->hash_out = a->hash_out ? strdup(a->hash_out) : default_hash_out(a->output);
    if (!in->hash_out)
        return no_memory(err);
    in->target = (struct image_target){
        .path = a->output, .reference_path = in->hash_out, .full = a->full, .replace = a->force};
    int r = choose_format(a, &in->target.format, err);
    if (r == 0 && strcmp(in->hash_out, a->output) == 0)
        r = error_set(err, EINVAL, "--hash-out and -o name the same file");
    const char *outputs[] = {a->output, in->hash_out};
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(outputs); i++) {
        r = check_output(a->input, outputs[i], err);
        if (r == 0)
            r = check_absent(outputs[i], a->force, err);
    }
    return r;
}

static int load_meeting(const struct arguments *a, struct inputs *in, struct error *err)
{
    int r = meeting_choose(&a->meeting, &in->meeting, err);
    in->request.brokers = in->meeting.brokers;
    in->request.broker_count = in->meeting.broker_count;
    in->request.listen_port = in->meeting.listen_port;
    return r;
}

static int load(const struct arguments *a, struct inputs *in, struct error *err)
{
    in->request = (struct image_request){.input = a->input,
                                         .root_partition = (unsigned)a->root_partition,
                                         .deadline = (uint32_t)a->deadline};
    int r = paths_of(&in->paths, a->folder, err);
    if (r == 0)
        r = load_meeting(a, in, err);
    if (r == 0)
        r = load_target(a, in, err);
    if (r == 0)
        r = choose_action(a, &in->request.on_failure, err);
    if (r == 0)
        r = load_command_line(a, in, err);
    if (r == 0)
        r = load_keys(a, in, err);
    if (r == 0)
        r = find_agent(a, &in->agent, err);
    in->request.agent = buffer_bytes(&in->agent);
    return r < 0 ? r : load_references(a, in, err);
}

/* ---- the work ---- */
static void print_report(const struct arguments *a, const json_t *report)
{
    /* It is done, whatever can be told of it. */
    if (!report)
        fputs("encroot: encrypted; out of memory for the report\n", stderr);
    else if (a->json)
        image_report_json(report);
    else if (!a->quiet)
        image_report_print_encrypted(report, a->folder);
}

/* The image is whole: what is left to do with it. */
static int conclude(const struct arguments *a, const struct inputs *in, struct image_vault *vault,
                    json_t *report, struct error *err)
{
    int r = 0;
    if (a->vault.admin.broker)
        r = image_vault_register(vault, in->hash_out, report, err);
    print_report(a, report);
    if (r < 0)
        return a->json && report ? admin_exit_code(r) : admin_report(err, r, a->json);
    return EXIT_OK;
}

static int plan(const struct arguments *a, struct inputs *in, struct image_vault *vault,
                struct image_plan *ret, struct error *err)
{
    int r = load(a, in, err);
    if (r == 0 && a->vault.admin.broker)
        r = image_vault_open(vault, &a->vault, a->folder, a->output, err);
    if (r == 0)
        r = image_plan_make(ret, &in->request, err);
    if (r == 0 && a->vault.admin.broker)
        r = image_vault_prepare(vault, &a->vault, ret->volume_uuid, in->secret, err);
    return r;
}

/* Returns an exit code. */
static int encrypt(const struct arguments *a)
{
    _cleanup_(inputs_free) struct inputs in = {0};
    _image_plan_ struct image_plan p = {0};
    _image_vault_ struct image_vault vault = {0};
    struct encrypt_stats stats = {0};
    struct error err = {0};
    int r = plan(a, &in, &vault, &p, &err);
    if (r < 0)
        return admin_report(&err, r, a->json);
    struct progress progress = terminal_progress(a->quiet || a->json, NULL);
    cancel_on_signals();
    r = image_perform(&p, in.secret, &in.target, &progress, &stats, &err);
    terminal_progress_end();
    /* What a signal stops may fail in many ways; the reason is the signal. */
    if (r < 0 && progress.report(progress.arg, "", 0, 0) == -ECANCELED)
        r = error_set(&err, ECANCELED, "interrupted: nothing was written");
    if (r < 0)
        return report_error(&err, exit_code_for(r), a->json);
    _json_ json_t *report = image_report_encrypted(&p, &in.target, &stats);
    meeting_report(&in.meeting, report);
    return conclude(a, &in, &vault, report, &err);
}

int cmd_image_encrypt(int argc, char **argv)
{
    struct arguments a = {.folder = ".",
                          .deadline = IMAGE_DEADLINE,
                          .on_failure = "reboot",
                          .vault = {.admin = ADMIN_OPTIONS_DEFAULT}};
    const struct option_spec options[] = {
        {'i', "input", OPTION_STRING, "IMAGE", "the image, raw or qcow2; it is only read", &a.input,
         0, 0},
        {'o', "output", OPTION_STRING, "IMAGE", "the encrypted image, a new file", &a.output, 0, 0},
        {'g', "reference-values", OPTION_STRING, "FILE",
         "hash.json that the input must have (encroot image\nmeasure); without: any input",
         &a.references, 0, 0},
        {'d', "directory", OPTION_STRING, "DIR",
         "what `encroot init` made: the key, and the broker's\ncertificate (default: .)", &a.folder,
         0, 0},
        {'k', "key-file", OPTION_STRING, "FILE",
         "the volume secret, 32 bytes (default:\nDIR/rootfs_key.bin)", &a.key, 0, 0},
        {0, "hash-out", OPTION_STRING, "FILE",
         "reference values of the output (default: its name,\nending in .hash.json)", &a.hash_out,
         0, 0},
        {0, "format", OPTION_STRING, "FORMAT",
         "qcow2 or raw (default: raw for names ending in .raw or\n.img, else qcow2)", &a.format, 0,
         0},
        {0, "full", OPTION_FLAG, NULL,
         "encrypt free blocks too: the host cannot tell how much\nis used; the output is as large "
         "as the disk",
         &a.full, 0, 0},
        {0, "root-partition", OPTION_UINT, "N", "which partition is the root (default: found)",
         &a.root_partition, 1, PARTITIONS_MAX},
        {0, "ip", OPTION_STRING, "SPEC",
         "network of the agent, as the kernel's ip= (default:\nDHCP on every interface)", &a.ip, 0,
         0},
        {0, "append", OPTION_STRING, "ARGS", "further words for the kernel command line", &a.append,
         0, 0},
        {0, "broker", OPTION_LIST, "HOST[:PORT]",
         "a broker that the agent dials: name, IPv4 or [IPv6]\naddress; port: 7221; up to 8 times",
         &a.meeting.brokers, 0, 0},
        {0, "listen", OPTION_FLAG, NULL,
         "the agent listens, too, for `encroot unlock` (default:\nonly without --broker)",
         &a.meeting.listen, 0, 0},
        {0, "no-listen", OPTION_FLAG, NULL, "it dials only", &a.meeting.no_listen, 0, 0},
        {'p', "port", OPTION_UINT, "N", "where the agent listens (default: 7220); means --listen",
         &a.meeting.port, 1, UINT16_MAX},
        {0, "deadline", OPTION_UINT, "SECONDS",
         "how long the agent waits for the key (default: 900)", &a.deadline, 1, 7 * 24 * 3600},
        {0, "on-failure", OPTION_STRING, "ACTION", "then: reboot or poweroff (default: reboot)",
         &a.on_failure, 0, 0},
        {0, "agent", OPTION_STRING, "FILE",
         "encroot-agent for the guest's machine (default: the one\ninstalled with encroot)",
         &a.agent, 0, 0},
        VAULT_OPTION_SPECS(a.vault),
        {0, "force", OPTION_FLAG, NULL, "replace existing outputs", &a.force, 0, 0},
        {0, "json", OPTION_FLAG, NULL, "print what was done as JSON", &a.json, 0, 0},
        {'q', "quiet", OPTION_FLAG, NULL, "neither progress nor summary", &a.quiet, 0, 0},
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot image encrypt -i IMAGE -o IMAGE [OPTION...]",
        .about =
            "Make an encrypted image from an ordinary one. The root filesystem is encrypted into\n"
            "a new file; the boot partitions get an initramfs that holds the agent, and a boot\n"
            "configuration whose every entry boots the encrypted root. Needs no root, no loop\n"
            "device, no device-mapper, and runs none of the guest's code. Also writes the\n"
            "reference values (hash.json) that `encroot unlock -f` compares the boot with.\n"
            "With --vault a broker (encrootd) gets the key, the policy and these values, and\n"
            "releases the key by itself whenever the image boots; whether it answers is seen\n"
            "before the work begins.",
        .options = options,
        .example =
            "  encroot init keys && cd keys\n"
            "  encroot image measure -i debian.qcow2 -o debian.hash.json\n"
            "  encroot image encrypt -i debian.qcow2 -g debian.hash.json -o debian-enc.qcow2\n"
            "  encroot image encrypt -i debian.qcow2 -o web-1.qcow2 \\\n"
            "      --broker keys1.example.org --broker keys2.example.org:8443 \\\n"
            "      --vault -m RIM --name web-1",
    };
    int code = options_parse(&u, argc, argv, NULL);
    if (code != OPTIONS_DONE)
        return code;
    if (!a.input || !a.output)
        return usage_error(&u, "%s is missing", a.input ? "-o" : "-i");
    const char *problem = vault_options_problem(&a.vault, a.key);
    if (problem)
        return usage_error(&u, "%s", problem);
    return encrypt(&a);
}

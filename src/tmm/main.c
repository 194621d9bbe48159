/* encroot-tmm: the software TMM. For development and tests only. */
#include "base/hex.h"
#include "base/json.h"
#include "base/secret.h"
#include "tmm/machine.h"
#include "tmm/run.h"

#include <getopt.h>
#include <string.h>
#include <sys/stat.h>

#define EXIT_USAGE 2
#define EXIT_CANNOT 125 /* QEMU's own status is passed on, so ours must not look like one */

static int print_error(const struct error *err, int status)
{
    fprintf(stderr, "encroot-tmm: %s\n", err->text);
    if (err->hint[0])
        fprintf(stderr, "  %s\n", err->hint);
    return status;
}

static const char top_help[] =
    "Usage: encroot-tmm COMMAND [OPTION]... [-- QEMU ARGUMENT...]\n"
    "\n"
    "The software TMM: issues virtCCA tokens for one QEMU guest, from what that guest really\n"
    "booted. FOR DEVELOPMENT AND TESTS ONLY: its tokens prove nothing about any hardware.\n"
    "\n"
    "Commands:\n"
    "  run    start a guest with a TPM, watch what it boots, and issue its tokens\n"
    "  rim    print the initial measurement of a guest without starting it\n"
    "  init   make the keys and certificates, without starting anything\n"
    "\n"
    "Try: encroot-tmm COMMAND --help\n";

static const char run_help[] =
    "Usage: encroot-tmm run --state DIR [OPTION]... -- qemu-system-x86_64 ARGUMENT...\n"
    "\n"
    "Starts QEMU with ARGUMENTs and adds a TPM 2.0 (swtpm) and the port \"org.encroot.tmm.0\",\n"
    "on which the guest asks for its token. The token's RIM comes from the firmware and the\n"
    "machine that QEMU is started with; its REMs come from what firmware, boot loader and kernel\n"
    "extend into the TPM. QEMU keeps the terminal; its exit status is passed on.\n"
    "\n"
    "  --state DIR          keys, certificates and the TPM's memory; made if missing\n"
    "  --p521               tokens signed with P-521 (default)\n"
    "  --rsa                tokens signed with RSA-4096\n"
    "  --no-platform-token  the guest's part alone, as on older platforms\n"
    "  --fresh-tpm          a new TPM for this run only; lets guests share DIR\n"
    "  --log FILE           append what was seen: power-on, each extend, each token\n"
    "\n"
    "ARGUMENTs must not have a TPM of their own, and must name the firmware as\n"
    "  -drive if=pflash,unit=0,format=raw,readonly=on,file=FIRMWARE   or as   -bios FIRMWARE\n"
    "\n"
    "A verifier trusts these tokens with DIR/p521/trust (or DIR/rsa/trust): root.pem,\n"
    "intermediate.pem, and pins, the SHA-256 of the root certificate.\n"
    "\n"
    "Example:\n"
    "  cp /usr/share/OVMF/OVMF_VARS_4M.ms.fd vars.fd\n"
    "  encroot-tmm run --state tmm --log tmm.log -- qemu-system-x86_64 -M q35,smm=on -m 1G \\\n"
    "    -global driver=cfi.pflash01,property=secure,value=on -nographic -nic user \\\n"
    "    -drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.ms.fd "
    "\\\n"
    "    -drive if=pflash,unit=1,format=raw,file=vars.fd \\\n"
    "    -drive if=virtio,format=qcow2,file=guest.qcow2\n";

static const char rim_help[] =
    "Usage: encroot-tmm rim [--json] -- qemu-system-x86_64 ARGUMENT...\n"
    "\n"
    "Prints \"RIM-HASH: \" and the initial measurement that `encroot-tmm run` would give the same\n"
    "command line. With --json also what it was computed from. Nothing is started or written.\n";

static const char init_help[] =
    "Usage: encroot-tmm init --state DIR [--p521|--rsa]\n"
    "\n"
    "Makes root, intermediate and attestation key in DIR/p521 (or DIR/rsa), if they are not there\n"
    "yet, and prints the SHA-256 of the root certificate, by which a verifier pins it.\n";

/* ---- options: one table for all commands ---- */

struct options {
    struct run_options run;
    bool json;
    bool help;
};

enum { OPT_STATE = 256, OPT_RSA, OPT_P521, OPT_NO_PLATFORM, OPT_FRESH, OPT_LOG, OPT_JSON };

static int parse_options(struct options *o, int argc, char **argv)
{
    static const struct option known[] = {
        {"state", required_argument, NULL, OPT_STATE},
        {"rsa", no_argument, NULL, OPT_RSA},
        {"p521", no_argument, NULL, OPT_P521},
        {"no-platform-token", no_argument, NULL, OPT_NO_PLATFORM},
        {"fresh-tpm", no_argument, NULL, OPT_FRESH},
        {"log", required_argument, NULL, OPT_LOG},
        {"json", no_argument, NULL, OPT_JSON},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };

    *o = (struct options){.run = {.platform_token = true}};
    for (int c; (c = getopt_long(argc, argv, "+h", known, NULL)) != -1;) {
        switch (c) {
        case OPT_STATE:
            o->run.state = optarg;
            break;
        case OPT_RSA:
            o->run.kind = AUTHORITY_RSA;
            break;
        case OPT_P521:
            o->run.kind = AUTHORITY_P521;
            break;
        case OPT_NO_PLATFORM:
            o->run.platform_token = false;
            break;
        case OPT_FRESH:
            o->run.fresh_tpm = true;
            break;
        case OPT_LOG:
            o->run.log = optarg;
            break;
        case OPT_JSON:
            o->json = true;
            break;
        case 'h':
            o->help = true;
            return 0;
        default:
            return -EINVAL;
        }
    }
    o->run.argv = argv + optind;
    return 0;
}

static int usage_error(const char *what)
{
    fprintf(stderr, "encroot-tmm: %s (see --help)\n", what);
    return EXIT_USAGE;
}

/* ---- commands ---- */

static int command_run(const struct options *o)
{
    struct error err = {0};

    if (!o->run.state)
        return usage_error("--state DIR is missing");
    if (!o->run.argv[0])
        return usage_error("QEMU's command line is missing");
    int r = run_guest(&o->run, &err);
    return r < 0 ? print_error(&err, EXIT_CANNOT) : r;
}

static int print_rim(const struct machine *m, const struct digest *rim, bool json)
{
    char hex[DIGEST_HEX_SIZE];

    digest_hex(rim, hex);
    if (json) {
        _json_ json_t *out = json_pack("{s:s, s:s, s:i, s:s%}", "rim", hex, "hash_alg", "sha-256",
                                       "vcpus", (int)m->vcpus, "machine",
                                       (const char *)m->description.data, m->description.size);
        return out && json_dumpf(out, stdout, JSON_INDENT(2)) == 0 && puts("") >= 0 ? 0
                                                                                    : EXIT_CANNOT;
    }
    for (char *p = hex; *p; p++)
        if (*p >= 'a' && *p <= 'f')
            *p = (char)(*p - 'a' + 'A');
    return printf("RIM-HASH: %s\n", hex) < 0 ? EXIT_CANNOT : 0;
}

static int command_rim(const struct options *o)
{
    _machine_ struct machine m = {.firmware = -1};
    struct error err = {0};
    struct digest rim;

    if (!o->run.argv[0])
        return usage_error("QEMU's command line is missing");
    int r = machine_parse(&m, o->run.argv, &err);
    if (r == 0)
        r = machine_rim(&m, &rim, &err);
    return r < 0 ? print_error(&err, EXIT_CANNOT) : print_rim(&m, &rim, o->json);
}

static int command_init(const struct options *o)
{
    _authority_ struct authority a = {0};
    struct error err = {0};
    char hex[2 * sizeof(a.root_pin) + 1];
    int r = 0;

    if (!o->run.state)
        return usage_error("--state DIR is missing");
    if (mkdir(o->run.state, 0700) < 0 && errno != EEXIST)
        r = error_errno(&err, errno, "%s", o->run.state);
    if (r == 0)
        r = authority_open(&a, o->run.state, o->run.kind, &err);
    if (r < 0)
        return print_error(&err, EXIT_CANNOT);
    hex_encode(BYTES_OF(a.root_pin), hex);
    return printf("%s\n", hex) < 0 ? EXIT_CANNOT : 0;
}

static const struct command {
    const char *name;
    int (*run)(const struct options *o);
    const char *help;
} commands[] = {
    {"run", command_run, run_help},
    {"rim", command_rim, rim_help},
    {"init", command_init, init_help},
};

int main(int argc, char **argv)
{
    struct options o;

    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        return fputs(top_help, stdout) < 0 ? EXIT_CANNOT : 0;
    if (argc >= 2 && strcmp(argv[1], "--version") == 0)
        return puts("encroot-tmm " ENCROOT_VERSION) < 0 ? EXIT_CANNOT : 0;
    for (size_t i = 0; argc >= 2 && i < ARRAY_SIZE(commands); i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        if (parse_options(&o, argc - 1, argv + 1) < 0)
            return EXIT_USAGE;
        if (o.help)
            return fputs(commands[i].help, stdout) < 0 ? EXIT_CANNOT : 0;
        return commands[i].run(&o);
    }
    fputs(top_help, stderr);
    return EXIT_USAGE;
}

#include "base/secret.h"
#include "cli/command.h"
#include "base/suggest.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct command commands[] = {
    {"audit checkpoint", "sign the end of the records, to be kept elsewhere", cmd_audit_checkpoint},
    {"audit export", "write the records of decisions as JSON", cmd_audit_export},
    {"audit list", "list the decisions of unlock or of a broker", cmd_audit_list},
    {"audit show", "show one decision, with every reason", cmd_audit_show},
    {"audit verify", "see whether the records of decisions were changed", cmd_audit_verify},
    {"evidence appraise", "judge saved evidence as unlock does, and explain",
     cmd_evidence_appraise},
    {"evidence inspect", "show a token, a certificate, an event log or saved evidence",
     cmd_evidence_inspect},
    {"image encrypt", "make an encrypted image from an ordinary one", cmd_image_encrypt},
    {"image inspect", "show partitions, kernels and menu entries of an image", cmd_image_inspect},
    {"image measure", "predict what an image's boot will measure", cmd_image_measure},
    {"init", "make a folder with the broker's identity, a key and trust anchors", cmd_init},
    {"policy check", "say what is wrong with an appraisal policy, and what it gives up",
     cmd_policy_check},
    {"policy new", "make an appraisal policy from an image, keys and good evidence",
     cmd_policy_new},
    {"policy show", "show what an appraisal policy accepts", cmd_policy_show},
    {"request approve", "let a waiting guest have its key once", cmd_request_approve},
    {"request deny", "refuse a waiting guest", cmd_request_deny},
    {"request list", "list guests that wait for an operator", cmd_request_list},
    {"rim", "compute the initial measurement of a virtCCA guest", cmd_rim},
    {"unlock", "attest a waiting guest and release its key", cmd_unlock},
    {"vault rewrap", "put a broker's secrets under its newest key", cmd_vault_rewrap},
    {"volume add", "give a broker the key and policy of an image made before", cmd_volume_add},
    {"volume disable", "release a volume's key to nobody", cmd_volume_disable},
    {"volume enable", "release a volume's key again", cmd_volume_enable},
    {"volume export", "write all that a broker keeps of a volume", cmd_volume_export},
    {"volume import", "register what export wrote", cmd_volume_import},
    {"volume list", "list the volumes of a broker", cmd_volume_list},
    {"volume policy", "show or replace what guests must prove", cmd_volume_policy},
    {"volume remove", "make a broker forget a volume and its key", cmd_volume_remove},
    {"volume seal", "take over what was changed past the broker", cmd_volume_seal},
    {"volume set", "set a volume's name, approval and limits", cmd_volume_set},
    {"volume show", "show a volume of a broker", cmd_volume_show},
    {"volume values", "versions of a volume's reference values", cmd_volume_values},
};

static void list_group(FILE *to, const char *group)
{
    size_t n = strlen(group);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (n == 0 || (strncmp(commands[i].name, group, n) == 0 && commands[i].name[n] == ' '))
            fprintf(to, "  %-20s %s\n", commands[i].name, commands[i].summary);
}

static bool is_group(const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (strncmp(commands[i].name, word, n) == 0 && commands[i].name[n] == ' ')
            return true;
    return false;
}

static void list_commands(FILE *to)
{
    fputs("encroot: attested full-disk encryption for confidential VMs\n\n"
          "Usage: encroot COMMAND [OPTION...]\n\nCommands:\n",
          to);
    list_group(to, "");
    fputs("\n`encroot COMMAND --help` explains one. The way of an image:\n"
          "  encroot init keys && cd keys\n"
          "  encroot image encrypt -i disk.qcow2 -o disk-enc.qcow2\n"
          "  (boot disk-enc.qcow2; its console names an address and a port)\n"
          "  encroot unlock -i ADDRESS -m RIM -f disk-enc.hash.json\n"
          "With a broker (encrootd) that unlocks by itself, also at each reboot:\n"
          "  encroot image encrypt -i disk.qcow2 -o disk-enc.qcow2 --broker HOST --vault -m RIM\n"
          "  encroot volume list; encroot audit list --broker\n",
          to);
}

/* How many words of argv the command's name takes; 0 if it is another command. */
static int match(const char *name, int argc, char **argv)
{
    int words = 0;
    for (const char *p = name; *p; words++) {
        size_t n = strcspn(p, " ");
        if (words + 1 >= argc || strlen(argv[words + 1]) != n ||
            strncmp(argv[words + 1], p, n) != 0)
            return 0;
        p += n + (p[n] == ' ');
    }
    return words;
}

static int unknown(int argc, char **argv)
{
    /* "unlok" is a slip of one word, "imgae encrypt" of two. */
    bool second = argc > 2 && argv[2][0] != '-';
    char two[128];
    snprintf(two, sizeof(two), "%s%s%s", argv[1], second ? " " : "", second ? argv[2] : "");
    fprintf(stderr, "encroot: unknown command \"%s\"\n", is_group(argv[1]) ? two : argv[1]);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (looks_like(argv[1], commands[i].name) || looks_like(two, commands[i].name))
            fprintf(stderr, "  did you mean: encroot %s\n", commands[i].name);
    fputs("`encroot help` lists all commands\n", stderr);
    return EXIT_USAGE;
}

static bool is(const char *word, const char *a, const char *b)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

static int run(int argc, char **argv)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        int words = match(commands[i].name, argc, argv);
        if (words > 0)
            return commands[i].run(argc - words, argv + words);
    }
    bool help = argc == 3 && is(argv[2], "--help", "-h");
    if (!is_group(argv[1]) || (argc > 2 && argv[2][0] != '-'))
        return unknown(argc, argv);
    FILE *to = help ? stdout : stderr;
    fprintf(to, "Usage: encroot %s COMMAND [OPTION...]\n\nCommands:\n", argv[1]);
    list_group(to, argv[1]);
    return help ? EXIT_OK : EXIT_USAGE;
}

static int start(int argc, char **argv)
{
    if (argc < 2) {
        list_commands(stderr);
        return EXIT_USAGE;
    }
    if (is(argv[1], "--version", "-V")) {
        puts("encroot " ENCROOT_VERSION);
        return EXIT_OK;
    }
    bool help = is(argv[1], "help", "--help") || strcmp(argv[1], "-h") == 0;
    if (help && argc == 2) {
        list_commands(stdout);
        return EXIT_OK;
    }
    if (!help)
        return run(argc, argv);
    /* `encroot help image encrypt` is `encroot image encrypt --help`. */
    char *words[8] = {argv[0]};
    int n = 1;
    for (int i = 2; i < argc && n < (int)ARRAY_SIZE(words) - 2; i++)
        words[n++] = argv[i];
    words[n++] = (char *)"--help";
    return run(n, words);
}

/* What did not reach its reader was not done. A failure has been told, and keeps its exit code. */
static int check_stdout(int code)
{
    bool lost = fflush(stdout) != 0;
    const char *why = lost ? strerror(errno) : "writing failed";
    if (code != EXIT_OK || (!lost && !ferror(stdout)))
        return code;
    fprintf(stderr, "encroot: standard output: %s\n", why);
    return EXIT_FAILED;
}

int main(int argc, char **argv)
{
    process_protect_secrets();
    signal(SIGPIPE, SIG_IGN); /* a peer that leaves is an error, not the end */
    return check_stdout(start(argc, argv));
}

/*
 * Subcommands are lines of one const table (main.c): one file each, named after the command.
 */
#ifndef ENCROOT_CLI_COMMAND_H
#define ENCROOT_CLI_COMMAND_H

/* Exit codes, the same for all commands (encroot(1), EXIT STATUS). */
enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1,      /* I/O, resources, anything unexpected */
    EXIT_USAGE = 2,       /* the command line */
    EXIT_REFUSED = 3,     /* appraisal refused: no key was released; or an audit that was changed */
    EXIT_BAD_INPUT = 4,   /* a file is not what it must be */
    EXIT_UNREACHABLE = 5, /* the peer did not answer, or left */
};

struct command {
    const char *name;    /* "image encrypt" */
    const char *summary; /* one line, for the list */
    /* argv[0] is the last word of the name. Returns an exit code. */
    int (*run)(int argc, char **argv);
};

int cmd_audit_checkpoint(int argc, char **argv);
int cmd_audit_export(int argc, char **argv);
int cmd_audit_list(int argc, char **argv);
int cmd_audit_show(int argc, char **argv);
int cmd_audit_verify(int argc, char **argv);
int cmd_evidence_appraise(int argc, char **argv);
int cmd_evidence_inspect(int argc, char **argv);
int cmd_image_encrypt(int argc, char **argv);
int cmd_image_inspect(int argc, char **argv);
int cmd_image_measure(int argc, char **argv);
int cmd_init(int argc, char **argv);
int cmd_policy_check(int argc, char **argv);
int cmd_policy_new(int argc, char **argv);
int cmd_policy_show(int argc, char **argv);
int cmd_request_approve(int argc, char **argv);
int cmd_request_deny(int argc, char **argv);
int cmd_request_list(int argc, char **argv);
int cmd_rim(int argc, char **argv);
int cmd_unlock(int argc, char **argv);
int cmd_vault_rewrap(int argc, char **argv);
int cmd_volume_add(int argc, char **argv);
int cmd_volume_disable(int argc, char **argv);
int cmd_volume_enable(int argc, char **argv);
int cmd_volume_export(int argc, char **argv);
int cmd_volume_import(int argc, char **argv);
int cmd_volume_list(int argc, char **argv);
int cmd_volume_policy(int argc, char **argv);
int cmd_volume_remove(int argc, char **argv);
int cmd_volume_seal(int argc, char **argv);
int cmd_volume_set(int argc, char **argv);
int cmd_volume_show(int argc, char **argv);
int cmd_volume_values(int argc, char **argv);

#endif

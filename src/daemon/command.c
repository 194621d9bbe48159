#include "daemon/command.h"
#include "base/secret.h"
#include "daemon/log.h"
#include "daemon/supervisor.h"

#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <sys/stat.h>

#define CONFIG_PATH "/etc/encroot/encrootd.conf"

/* The same as those of encroot(1). */
enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_BAD_INPUT = 4 };

static const char help[] =
    "Usage: encrootd [-c FILE] [--check]\n"
    "\n"
    "The key broker: guests send evidence of what they are and what they booted, and get the key\n"
    "of their disk if the policy of their volume says so. Each decision is recorded first.\n"
    "\n"
    "  -c, --config FILE  the configuration (default: " CONFIG_PATH ")\n"
    "      --check        say whether it is good, and the files that it names are; start nothing\n"
    "      --version      print the version\n"
    "  -h, --help         this text\n"
    "\n"
    "Runs in the foreground and logs to standard error, as systemd wants it. SIGHUP: read the\n"
    "configuration again, without closing any connection. SIGTERM: finish what there is, and end.\n"
    "\n"
    "Begin:\n"
    "  encroot init keys                    # keys, and a configuration to start from\n"
    "  encrootd -c keys/encrootd.conf --check\n"
    "  encrootd -c keys/encrootd.conf\n"
    "  curl http://127.0.0.1:7222/healthz\n"
    "  encroot volume list --broker unix:keys/admin.sock\n"
    "encrootd(8), SERVICE: what the service needs besides.\n"
    "\n"
    "encrootd.conf(5) has all keys; `encroot volume`, `request` and `audit` administer the "
    "broker.\n";

struct options {
    const char *config;
    bool check, version, help;
};

static int parse_options(struct options *o, int argc, char **argv)
{
    enum { OPT_CHECK = 256, OPT_VERSION };
    static const struct option known[] = {
        {"config", required_argument, NULL, 'c'},
        {"check", no_argument, NULL, OPT_CHECK},
        {"version", no_argument, NULL, OPT_VERSION},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    *o = (struct options){.config = CONFIG_PATH};
    for (int c; (c = getopt_long(argc, argv, "c:h", known, NULL)) != -1;) {
        switch (c) {
        case 'c':
            o->config = optarg;
            break;
        case OPT_CHECK:
            o->check = true;
            break;
        case OPT_VERSION:
            o->version = true;
            break;
        case 'h':
            o->help = true;
            break;
        default:
            return -EINVAL;
        }
    }
    return optind == argc ? 0 : -EINVAL;
}

/* As one line of the log: each line has a level of its own in the journal, and JSON stays JSON. */
static int fail(const struct error *err, int status)
{
    log_line(LOG_ERR, "%s%s%s%s", err->text, err->hint[0] ? " (" : "", err->hint,
             err->hint[0] ? ")" : "");
    return status;
}

static int check(const char *path)
{
    struct daemon_config c;
    struct error err = {0};
    struct stat st;
    _buffer_ struct buffer text = {0};
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    process_protect_secrets();
    if (fd < 0 || fstat(fd, &st) < 0) {
        error_errno(&err, errno, "%s", path);
        return fail(&err, STATUS_BAD_INPUT);
    }
    if (process_config(&c, fd, path, &text, &err) < 0)
        return fail(&err, STATUS_BAD_INPUT);
    int r = config_check(&c, st.st_mode, &err);
    config_free(&c);
    if (r < 0) {
        error_prefix(&err, r, "%s", path);
        return fail(&err, STATUS_BAD_INPUT);
    }
    return printf("%s is good\n", path) < 0 ? STATUS_FAILED : STATUS_OK;
}

int encrootd_main(const struct role_table *roles, int argc, char **argv)
{
    struct options o;
    struct error err = {0};
    if (process_is_one(argc, argv))
        return process_main(roles, argc, argv);
    log_open("encrootd", false, LOG_INFO);
    if (parse_options(&o, argc, argv) < 0) {
        fputs("encrootd: what is this? See `encrootd --help`\n", stderr);
        return STATUS_USAGE;
    }
    if (o.help)
        return fputs(help, stdout) < 0 ? STATUS_FAILED : STATUS_OK;
    if (o.version)
        return puts("encrootd " ENCROOT_VERSION) < 0 ? STATUS_FAILED : STATUS_OK;
    if (o.check)
        return check(o.config);
    return supervisor_run(roles, o.config, &err) < 0 ? fail(&err, STATUS_FAILED) : STATUS_OK;
}

/*
 * encrootd with a front that an attacker has taken over: the very daemon, but that its first front
 * runs what the configuration's `name` says (attack-NAME), once, confined exactly as a real front
 * is. What comes of it is written to standard error:
 *   "attack NAME: SAFE text" or "attack NAME: BREACH text"; nothing, if the attempt killed it.
 *
 *   compromised-front -c FILE                 the daemon
 *   compromised-front --list                  the attacks: "system NAME" and "wire NAME"
 *   compromised-front --forge DIR [DEFECT]    evidence for the exporter of 64 zeros, with its trust
 *                                             anchors and reference values, as forge-evidence
 *
 * Next to the configuration: `attack.done` once it was tried, after which the front is a real one;
 * `attack.json`: the body that "evidence" attacks send.
 */
#include "attacks.h"
#include "../functional/forgery.h"
#include "base/io.h"
#include "daemon/command.h"
#include "daemon/confine.h"

#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

static void forge(const char *folder, const char *defect)
{
    struct forgery f;
    char rim[DIGEST_HEX_SIZE];
    uint8_t challenge[CHALLENGE_SIZE], exporter[CHANNEL_EXPORTER_SIZE] = {0};
    struct error e = {0};
    _evidence_ struct evidence evidence = {0};
    _buffer_ struct buffer json = {0};
    forgery_begin(&f);
    must(channel_challenge(challenge, exporter, &e), &e);
    forgery_set_challenge(&f, challenge);
    if (defect)
        forgery_apply(&f, defect);
    forgery_write_trust(&f, folder);
    forgery_write_reference(folder);
    forgery_evidence(&f, &evidence);
    memset(evidence.volume, 0xab, sizeof(evidence.volume));
    evidence.has_challenge = false;
    must(evidence_format(&evidence, &json, &e), &e);
    forgery_write(folder, "attack.json", buffer_bytes(&json));
    forgery_rim(rim);
    puts(rim);
    forgery_end(&f);
}

static const struct attack *chosen(const struct daemon_config *c)
{
    static const char prefix[] = "attack-";
    if (strncmp(c->name, prefix, strlen(prefix)) != 0)
        errx(2, "name = attack-NAME, expected");
    const struct attack *a;
    for (size_t i = 0; (a = attack_at(i)); i++)
        if (strcmp(a->name, c->name + strlen(prefix)) == 0)
            return a;
    errx(2, "no attack is called %s", c->name);
}

static void beside_key(const struct daemon_config *c, const char *name, char *ret, size_t size)
{
    const char *slash = strrchr(c->key, '/');
    snprintf(ret, size, "%.*s/%s", slash ? (int)(slash - c->key) : 1, slash ? c->key : ".", name);
}

/* Is it the first time? */
static bool first_time(const struct daemon_config *c)
{
    char path[4096];
    beside_key(c, "attack.done", path, sizeof(path));
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int attack_front_run(struct process *p, struct error *err)
{
    static struct victim v;
    char path[4096];
    if (p->index != 0 || !first_time(p->config))
        return front_run(p, err);
    const struct attack *a = chosen(p->config);
    beside_key(p->config, "attack.json", path, sizeof(path));
    if (access(path, R_OK) == 0 && read_file(path, EVIDENCE_JSON_MAX, &v.body, err) < 0)
        return -err->code;
    signal(SIGPIPE, SIG_IGN);
    victim_find(&v, p);
    int r = confine_early(ROLE_FRONT, err);
    if (r == 0)
        r = confine(ROLE_FRONT, err);
    if (r == 0)
        r = channel_send(&v.control, MESSAGE_READY, 0, NULL, 0, err);
    if (r < 0)
        return r;
    /* Whatever took it over came with a guest; and by then the generation serves. */
    struct pollfd guest = {.fd = v.handoff, .events = POLLIN};
    while (poll(&guest, 1, -1) < 1)
        ;
    if (a->system)
        attack_report(a, false, "is tried now");
    a->run(&v, a);
    return error_set(err, ECANCELED, "the attack is over");
}

int main(int argc, char **argv)
{
    static const struct role_table roles = {.run = {
                                                [ROLE_GATE] = gate_run,
                                                [ROLE_FRONT] = attack_front_run,
                                                [ROLE_APPRAISER] = appraiser_run,
                                                [ROLE_KEEPER] = keeper_run,
                                                [ROLE_ADMIN] = admin_run,
                                                [ROLE_MONITOR] = monitor_run,
                                            }};
    if (argc >= 3 && strcmp(argv[1], "--forge") == 0) {
        forge(argv[2], argc > 3 ? argv[3] : NULL);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        const struct attack *a;
        for (size_t i = 0; (a = attack_at(i)); i++)
            printf("%s %s\n", a->system ? "system" : "wire", a->name);
        return 0;
    }
    return encrootd_main(&roles, argc, argv);
}

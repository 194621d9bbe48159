#include "tmm/run.h"

#include "base/hex.h"
#include "base/io.h"
#include "tmm/child.h"
#include "tmm/machine.h"
#include "tmm/port.h"
#include "tmm/token.h"
#include "tmm/tpm_state.h"
#include "tmm/tpm_watch.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define GRACE_MS 3000 /* between asking QEMU to end and ending it */
enum { POLL_SIGNAL, POLL_PORT, POLL_TPM, POLL_COUNT = POLL_TPM + TPM_WATCH_FDS };

struct session {
    const struct run_options *options;
    struct machine machine;
    struct token_issuer issuer;
    struct tpm_state tpm_state;
    struct registers registers;
    struct tpm_watch watch;
    bool watching;
    struct port port;
    bool port_open;
    FILE *log;
    int signals;
    /* Socket pairs: [0] is ours, [1] the child's. */
    int swtpm_control[2], qemu_control[2], guest_port[2];
    pid_t swtpm, qemu;
    int qemu_status;  /* of waitpid */
    uint64_t kill_at; /* milliseconds; 0: not asked to end */
    int result;       /* negative errno once something went wrong */
    struct error *err;
};

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void session_free(struct session *s)
{
    if (s->qemu > 0)
        kill(s->qemu, SIGKILL), (void)waitpid(s->qemu, NULL, 0);
    if (s->swtpm > 0)
        kill(s->swtpm, SIGKILL), (void)waitpid(s->swtpm, NULL, 0);
    tpm_watch_free(&s->watch);
    port_free(&s->port);
    for (int i = 0; i < 2; i++) {
        close_fd(&s->swtpm_control[i]);
        close_fd(&s->qemu_control[i]);
        close_fd(&s->guest_port[i]);
    }
    close_fd(&s->signals);
    tpm_state_close(&s->tpm_state);
    token_issuer_free(&s->issuer);
    machine_free(&s->machine);
    if (s->log)
        fclose(s->log);
}

/* ---- starting ---- */

static int make_pair(int pair[2], struct error *err)
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0
               ? error_errno(err, errno, "cannot make a channel")
               : 0;
}

static int catch_signals(struct session *s)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return error_errno(s->err, errno, "signals");
    s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signals < 0 ? error_errno(s->err, errno, "signals") : 0;
}

static int start_swtpm(struct session *s)
{
    char state[PATH_MAX + 16], control[48], log[PATH_MAX + 32];

    snprintf(state, sizeof(state), "dir=%s", s->tpm_state.path);
    snprintf(control, sizeof(control), "type=unixio,clientfd=%d", s->swtpm_control[1]);
    snprintf(log, sizeof(log), "file=%s/swtpm.log,level=1,truncate", s->tpm_state.path);
    char *const argv[] = {"swtpm",  "socket", "--tpm2", "--tpmstate", state,
                          "--ctrl", control,  "--log",  log,          NULL};
    int r = child_start(
        &s->swtpm,
        &(struct child){
            .argv = argv, .keep = &s->swtpm_control[1], .keep_count = 1, .background = true},
        s->err);
    close_fd(&s->swtpm_control[1]);
    return r == -ENOENT ? error_hint(s->err, r, "Install the package swtpm.") : r;
}

static int add_arguments(struct session *s, const char *const arguments[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int r = machine_add_argument(&s->machine, arguments[i]);
        if (r < 0)
            return error_errno(s->err, -r, "cannot add the TPM");
    }
    return 0;
}

/*
 * A machine that sleeps (ACPI S3) wakes up with its memory, while QEMU starts the TPM anew. If the
 * guest did not save the TPM's state, firmware starts it cleared, measures nothing, and returns to
 * the guest, who then writes a good history into empty registers ("A Bad Dream: Subverting Trusted
 * Platform Module While You Are Sleeping", USENIX Security 2018). So firmware must not offer it.
 */
static int forbid_sleep(struct session *s)
{
    static const char *const arguments[] = {
        "-global", "ICH9-LPC.disable_s3=1", /* q35 */
        "-global", "PIIX4_PM.disable_s3=1", /* pc */
    };
    bool acpi_sleep = strcmp(s->machine.tpm_device, "tpm-crb") == 0; /* x86 */
    return acpi_sleep ? add_arguments(s, arguments, ARRAY_SIZE(arguments)) : 0;
}

/* What we add behind the user's arguments; the identifiers are ours alone. */
static int add_devices(struct session *s)
{
    char control[64], port[64], tpm[96];

    snprintf(control, sizeof(control), "socket,id=encroot-tpm,fd=%d", s->qemu_control[1]);
    snprintf(port, sizeof(port), "socket,id=encroot-tmm,fd=%d", s->guest_port[1]);
    snprintf(tpm, sizeof(tpm), "%s,tpmdev=encroot-tpm", s->machine.tpm_device);
    const char *const arguments[] = {
        "-no-user-config",
        "-chardev",
        control,
        "-tpmdev",
        "emulator,id=encroot-tpm,chardev=encroot-tpm",
        "-device",
        tpm,
        "-chardev",
        port,
        "-device",
        "virtio-serial-pci,id=encroot-serial",
        "-device",
        "virtserialport,bus=encroot-serial.0,chardev=encroot-tmm,name=" TMM_PORT_NAME,
    };
    int r = forbid_sleep(s);
    return r < 0 ? r : add_arguments(s, arguments, ARRAY_SIZE(arguments));
}

static int start_qemu(struct session *s)
{
    int keep[MACHINE_FILES_MAX + 2];
    size_t n = 0;
    int r = add_devices(s);

    if (r < 0)
        return r;
    keep[n++] = s->qemu_control[1];
    keep[n++] = s->guest_port[1];
    for (size_t i = 0; i < s->machine.file_count; i++)
        keep[n++] = s->machine.files[i];
    r = child_start(
        &s->qemu, &(struct child){.argv = s->machine.argv, .keep = keep, .keep_count = n}, s->err);
    close_fd(&s->qemu_control[1]);
    close_fd(&s->guest_port[1]);
    return r;
}

static int open_log(struct session *s)
{
    if (!s->options->log)
        return 0;
    s->log = fopen(s->options->log, "ae");
    return s->log ? 0 : error_errno(s->err, errno, "%s", s->options->log);
}

/* ---- tokens ---- */

static int answer(void *context, const uint8_t challenge[PORT_CHALLENGE_SIZE],
                  struct buffer *ret_token, struct buffer *ret_certificate)
{
    struct session *s = context;
    const char *unknown = registers_unknown(&s->registers);
    struct error err = {0};

    if (unknown) {
        registers_note(&s->registers, "token refused: %s", unknown);
        return -EPERM;
    }
    int r = token_issue(&s->issuer, &s->registers, challenge, ret_token, &err);
    if (r == 0)
        r = buffer_append(ret_certificate, s->issuer.authority.certificate.data,
                          s->issuer.authority.certificate.size);
    if (r < 0)
        fprintf(stderr, "encroot-tmm: no token: %s\n", err.text);
    registers_note(&s->registers, "token %s", r < 0 ? "failed" : "issued");
    return r;
}

static void on_power_on(void *context)
{
    struct session *s = context;

    port_reset(&s->port);
}

/* ---- the loop ---- */

/* From here on only the end of QEMU is waited for. */
static void end_qemu(struct session *s, int r)
{
    if (s->result == 0)
        s->result = r;
    s->watching = false;
    close_fd(&s->qemu_control[0]);
    tpm_watch_free(&s->watch);
    if (s->qemu > 0 && s->kill_at == 0) {
        kill(s->qemu, SIGTERM);
        s->kill_at = now_ms() + GRACE_MS;
    }
}

static void reap(struct session *s)
{
    int status;

    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid == s->qemu) {
            s->qemu = 0;
            s->qemu_status = status;
        } else if (pid == s->swtpm) {
            s->swtpm = 0;
            if (s->qemu > 0 && !s->watch.shutdown)
                end_qemu(s, error_set(s->err, EPIPE, "swtpm has ended; see %s/swtpm.log",
                                      s->tpm_state.path));
        }
    }
}

static void on_signal(struct session *s)
{
    struct signalfd_siginfo info;

    while (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            reap(s);
        else if (s->qemu > 0)
            kill(s->qemu, (int)info.ssi_signo);
    }
}

static void prepare(struct session *s, struct pollfd fds[POLL_COUNT], int *timeout)
{
    uint64_t now = now_ms();

    fds[POLL_SIGNAL] = (struct pollfd){s->signals, POLLIN, 0};
    fds[POLL_PORT] = (struct pollfd){-1, 0, 0};
    for (int i = 0; i < TPM_WATCH_FDS; i++)
        fds[POLL_TPM + i] = (struct pollfd){-1, 0, 0};
    if (s->port_open) {
        short events = port_events(&s->port, now, timeout);
        /* A descriptor polled for nothing still reports hang-ups, over and over. */
        fds[POLL_PORT] = (struct pollfd){events ? s->port.fd : -1, events, 0};
    }
    if (s->watching)
        tpm_watch_prepare(&s->watch, fds + POLL_TPM);
    if (s->kill_at)
        *timeout = s->kill_at > now ? (int)(s->kill_at - now) : 0;
}

static int serve(struct session *s)
{
    struct pollfd fds[POLL_COUNT];

    while (s->qemu > 0) {
        int timeout = -1;

        prepare(s, fds, &timeout);
        if (poll(fds, POLL_COUNT, timeout) < 0 && errno != EINTR)
            return error_errno(s->err, errno, "poll");
        if (s->watching) {
            int r = tpm_watch_handle(&s->watch, fds + POLL_TPM, s->err);
            if (r < 0)
                end_qemu(s, r);
            else if (r > 0)
                s->watching = false;
        }
        if (fds[POLL_PORT].revents && port_handle(&s->port, fds[POLL_PORT].revents, now_ms()) < 0)
            s->port_open = false;
        if (fds[POLL_SIGNAL].revents)
            on_signal(s);
        if (s->kill_at && now_ms() >= s->kill_at && s->qemu > 0)
            kill(s->qemu, SIGKILL);
    }
    return s->result;
}

static void announce(const struct session *s, const struct digest *rim)
{
    char hex[DIGEST_HEX_SIZE];

    digest_hex(rim, hex);
    fprintf(stderr,
            "encroot-tmm: SOFTWARE TMM, FOR DEVELOPMENT AND TESTS ONLY.\n"
            "encroot-tmm: Its tokens prove nothing about any hardware: whoever controls this\n"
            "encroot-tmm: machine can read its keys and the guest's memory.\n"
            "encroot-tmm: RIM %s\n",
            hex);
    hex_encode(BYTES_OF(s->issuer.authority.root_pin), hex);
    fprintf(stderr, "encroot-tmm: trust %s/%s/trust, root %s\n", s->options->state,
            authority_name(s->options->kind), hex);
}

static int start(struct session *s)
{
    const struct run_options *o = s->options;
    struct digest rim;
    int r = machine_parse(&s->machine, o->argv, s->err);

    if (r == 0)
        r = machine_rim(&s->machine, &rim, s->err);
    if (r == 0 && mkdir(o->state, 0700) < 0 && errno != EEXIST)
        r = error_errno(s->err, errno, "%s", o->state);
    if (r == 0)
        r = token_issuer_init(&s->issuer, o->state, o->kind, o->platform_token, &rim, s->err);
    if (r == 0)
        r = open_log(s);
    if (r == 0)
        r = tpm_state_open(&s->tpm_state, o->state, o->fresh_tpm, s->err);
    if (r == 0)
        r = make_pair(s->swtpm_control, s->err);
    if (r == 0)
        r = make_pair(s->qemu_control, s->err);
    if (r == 0)
        r = make_pair(s->guest_port, s->err);
    if (r == 0)
        r = catch_signals(s);
    if (r == 0)
        r = start_swtpm(s);
    if (r == 0)
        announce(s, &rim);
    return r == 0 ? start_qemu(s) : r;
}

int run_guest(const struct run_options *o, struct error *err)
{
    __attribute__((cleanup(session_free))) struct session s = {
        .options = o,
        .machine = {.firmware = -1},
        .tpm_state = TPM_STATE_NONE,
        .watch = {.qemu_data = -1, .swtpm_data = -1, .passed_fd = -1},
        .signals = -1,
        .swtpm_control = {-1, -1},
        .qemu_control = {-1, -1},
        .guest_port = {-1, -1},
        .err = err,
    };
    int r = start(&s);

    if (r < 0)
        return r;
    registers_init(&s.registers, s.log);
    tpm_watch_init(&s.watch, s.qemu_control[0], s.swtpm_control[0], &s.registers);
    s.watch.on_power_on = on_power_on;
    s.watch.context = &s;
    s.watching = true;
    port_init(&s.port, s.guest_port[0], answer, &s);
    s.port_open = true;
    r = serve(&s);
    if (r < 0)
        return r;
    return WIFEXITED(s.qemu_status) ? WEXITSTATUS(s.qemu_status) : 128 + WTERMSIG(s.qemu_status);
}

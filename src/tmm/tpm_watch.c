#include "tmm/tpm_watch.h"

#include "base/io.h"

#include <string.h>
#include <sys/socket.h>

enum { FD_QEMU_CONTROL, FD_SWTPM_CONTROL, FD_QEMU_DATA, FD_SWTPM_DATA };

void tpm_watch_init(struct tpm_watch *w, int qemu_control, int swtpm_control,
                    struct registers *registers)
{
    *w = (struct tpm_watch){
        .qemu_control = qemu_control,
        .swtpm_control = swtpm_control,
        .qemu_data = -1,
        .swtpm_data = -1,
        .passed_fd = -1,
        .registers = registers,
    };
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void tpm_watch_free(struct tpm_watch *w)
{
    close_fd(&w->qemu_data);
    close_fd(&w->swtpm_data);
    close_fd(&w->passed_fd);
}

void tpm_watch_prepare(const struct tpm_watch *w, struct pollfd fds[TPM_WATCH_FDS])
{
    /* One request at a time on each channel: the next is not read before the answer is out. */
    fds[FD_QEMU_CONTROL] = (struct pollfd){w->pending ? -1 : w->qemu_control, POLLIN, 0};
    fds[FD_SWTPM_CONTROL] = (struct pollfd){w->swtpm_control, POLLIN, 0};
    fds[FD_QEMU_DATA] = (struct pollfd){w->in_flight ? -1 : w->qemu_data, POLLIN, 0};
    fds[FD_SWTPM_DATA] = (struct pollfd){w->swtpm_data, POLLIN, 0};
}

/*
 * Messages are small and strictly alternate, so a peer that lives always has room for one: a
 * full socket means that it is stuck, and waiting for it would only make us stick too.
 */
static int send_whole(int fd, const void *p, size_t n, const char *what, struct error *err)
{
    ssize_t sent = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent < 0)
        return error_errno(err, errno, "%s", what);
    return (size_t)sent == n ? 0 : error_set(err, EIO, "%s: does not take its messages", what);
}

/* ---- control channel ---- */

/* Receive into `p`, and a descriptor if one comes along. Returns bytes, 0 at the end. */
static ssize_t receive_with_fd(int fd, void *p, size_t n, int *ret_fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {p, n};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? -EAGAIN : -errno;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int))) {
        close_fd(ret_fd);
        memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
    }
    return got;
}

static int send_with_fd(int fd, const void *p, size_t n, int passed, struct error *err)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.space = {0}};
    struct iovec iov = {(void *)(uintptr_t)p, n};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &passed, sizeof(int));
    ssize_t sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        return error_errno(err, errno, "swtpm");
    return (size_t)sent == n ? 0 : error_set(err, EIO, "swtpm: does not take its messages");
}

/* Keep QEMU's end of the data channel and give swtpm one of ours. */
static int forward_data_fd(struct tpm_watch *w, struct error *err)
{
    int pair[2];

    if (w->passed_fd < 0 || w->qemu_data >= 0)
        return error_set(err, EPROTO, "QEMU: passed %s data channel",
                         w->passed_fd < 0 ? "no" : "a second");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_errno(err, errno, "data channel");
    w->qemu_data = TAKE_FD(w->passed_fd);
    w->swtpm_data = pair[0];
    int r = send_with_fd(w->swtpm_control, w->request, w->request_size, pair[1], err);
    close(pair[1]);
    return r;
}

static int forward_request(struct tpm_watch *w, struct error *err)
{
    switch (w->pending->code) {
    case CONTROL_SET_DATAFD:
        return forward_data_fd(w, err);
    case CONTROL_INIT:
        /* A command whose answer is still out might count for the next boot. */
        if (w->in_flight)
            return error_set(err, EPROTO, "QEMU: reset the TPM in the middle of a command");
        break;
    case CONTROL_SHUTDOWN:
        w->shutdown = true;
        break;
    }
    return send_whole(w->swtpm_control, w->request, w->request_size, "swtpm", err);
}

static int on_qemu_control(struct tpm_watch *w, struct error *err)
{
    size_t want = 4;

    /* Never read past the request, so that a descriptor stays with the request it came with. */
    if (w->request_size >= 4)
        want = control_command_find(control_result(w->request))->request_size;
    ssize_t got = receive_with_fd(w->qemu_control, w->request + w->request_size,
                                  want - w->request_size, &w->passed_fd);
    if (got == -EAGAIN)
        return 0;
    if (got <= 0)
        return got == 0 || got == -ECONNRESET ? 1 : error_errno(err, (int)-got, "QEMU");
    w->request_size += (size_t)got;
    int r = control_split(BYTES(w->request, w->request_size), &w->pending);
    if (r < 0)
        return error_set(err, EPROTO, "QEMU: TPM control command 0x%x cannot be watched",
                         (unsigned)control_result(w->request));
    return r == 0 ? 0 : forward_request(w, err);
}

/* What an answer means for us, before QEMU gets it. */
static int act_on_answer(struct tpm_watch *w, struct error *err)
{
    struct reader r = reader_of(BYTES(w->request, w->request_size));
    bool ok = control_result(w->answer) == 0;

    (void)read_be32(&r);
    switch (w->pending->code) {
    case CONTROL_GET_CAPABILITY:
        control_mask_capabilities(w->answer);
        break;
    case CONTROL_INIT:
        registers_power_on(w->registers);
        if (!ok || read_be32(&r) != 0)
            registers_forget(w->registers, "the TPM was not started afresh");
        if (w->on_power_on)
            w->on_power_on(w->context);
        break;
    case CONTROL_SET_DATAFD:
        if (!ok)
            return error_set(err, EIO, "swtpm: did not take the data channel");
        break;
    }
    return 0;
}

static int on_swtpm_control(struct tpm_watch *w, struct error *err)
{
    uint8_t surplus;
    ssize_t got;

    if (!w->pending) {
        got = recv(w->swtpm_control, &surplus, 1, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (got <= 0 && w->shutdown)
            return 1;
        return error_set(err, EPROTO, "swtpm %s", got > 0 ? "spoke unasked" : "has ended");
    }
    got = recv(w->swtpm_control, w->answer + w->answer_size,
               w->pending->answer_size - w->answer_size, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0)
        return error_set(err, EPIPE, "swtpm has ended");
    w->answer_size += (size_t)got;
    if (!control_answer_complete(w->pending, w->answer, &w->answer_size))
        return 0;
    int r = act_on_answer(w, err);
    if (r == 0)
        r = send_whole(w->qemu_control, w->answer, w->answer_size, "QEMU", err);
    close_fd(&w->passed_fd);
    w->pending = NULL;
    w->request_size = 0;
    w->answer_size = 0;
    return r;
}

/* ---- data channel ---- */

/* Answer in the TPM's place. */
static int refuse_command(struct tpm_watch *w, uint32_t code, struct error *err)
{
    uint8_t answer[TPM_HEADER_SIZE];

    tpm_error_response(code, answer);
    return send_whole(w->qemu_data, answer, sizeof(answer), "QEMU", err);
}

/*
 * QEMU writes a command at once, and a message of this size arrives at once or not at all. The
 * guest chose the size that its header states; if that is not what came, we and swtpm could
 * disagree where the next command begins. Answer as the TPM would.
 */
static int on_qemu_data(struct tpm_watch *w, struct error *err)
{
    ssize_t got = recv(w->qemu_data, w->command, sizeof(w->command), MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0)
        return 1;
    w->command_size = (size_t)got;
    if (tpm_message_size(BYTES(w->command, w->command_size)) != w->command_size)
        return refuse_command(w, TPM_RC_COMMAND_SIZE, err);
    if (!tpm_command_allowed(BYTES(w->command, w->command_size))) {
        registers_note(w->registers, "refused to switch the SHA-256 bank off");
        return refuse_command(w, TPM_RC_COMMAND_CODE, err);
    }
    w->in_flight = true;
    w->response_size = 0;
    return send_whole(w->swtpm_data, w->command, w->command_size, "swtpm", err);
}

static int on_swtpm_data(struct tpm_watch *w, struct error *err)
{
    ssize_t got = recv(w->swtpm_data, w->response + w->response_size,
                       sizeof(w->response) - w->response_size, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0 || !w->in_flight) {
        if (got <= 0 && w->shutdown) {
            close_fd(&w->swtpm_data);
            return 0;
        }
        return error_set(err, EPIPE, "swtpm %s", got > 0 ? "answered unasked" : "has ended");
    }
    w->response_size += (size_t)got;
    uint32_t size = tpm_message_size(BYTES(w->response, w->response_size));
    if (w->response_size < TPM_HEADER_SIZE || (size > w->response_size && size <= TPM_MESSAGE_MAX))
        return 0;
    if (size != w->response_size)
        return error_set(err, EPROTO, "swtpm: an answer of %zu bytes states %u", w->response_size,
                         (unsigned)size);
    registers_watch(w->registers, BYTES(w->command, w->command_size),
                    BYTES(w->response, w->response_size));
    w->in_flight = false;
    return send_whole(w->qemu_data, w->response, w->response_size, "QEMU", err);
}

int tpm_watch_handle(struct tpm_watch *w, const struct pollfd fds[TPM_WATCH_FDS], struct error *err)
{
    static int (*const handlers[TPM_WATCH_FDS])(struct tpm_watch *, struct error *) = {
        [FD_QEMU_CONTROL] = on_qemu_control,
        [FD_SWTPM_CONTROL] = on_swtpm_control,
        [FD_QEMU_DATA] = on_qemu_data,
        [FD_SWTPM_DATA] = on_swtpm_data,
    };
    int r = 0;

    for (size_t i = 0; i < TPM_WATCH_FDS && r == 0; i++)
        if (fds[i].fd >= 0 && fds[i].revents)
            r = handlers[i](w, err);
    return r;
}

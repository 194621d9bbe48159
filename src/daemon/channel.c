#include "daemon/channel.h"
#include "base/secret.h"
#include "crypto/tls.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE ((size_t)64 << 10)
#define KEEP_SIZE ((size_t)1 << 20)

struct head {
    uint32_t type;
    uint32_t size; /* of the body */
    uint64_t connection;
};

void channel_init(struct channel *c, int fd)
{
    *c = (struct channel){.fd = fd};
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void free_wiped(struct buffer *b)
{
    if (b->data)
        wipe(b->data, b->capacity);
    buffer_free(b);
}

void channel_free(struct channel *c)
{
    free_wiped(&c->in);
    free_wiped(&c->out);
    if (c->fd >= 0)
        close(c->fd);
    *c = (struct channel){.fd = -1};
}

static size_t frame_max(const struct channel *c)
{
    return c->frame_max ? c->frame_max : CHANNEL_FRAME_MAX;
}

/*
 * Room for `extra` bytes behind what is there. A buffer that must move is copied by hand, so that
 * no part of it stays behind in freed memory.
 */
static int make_room(struct buffer *b, size_t extra)
{
    if (b->capacity - b->size >= extra)
        return 0;
    struct buffer larger = {.max = b->size + extra + b->capacity};
    int r = buffer_reserve(&larger, larger.max);
    if (r < 0)
        return r;
    if (b->size)
        memcpy(larger.data, b->data, b->size);
    larger.size = b->size;
    free_wiped(b);
    *b = larger;
    return 0;
}

/*
 * Forget the first `n` bytes, which were wiped. What is behind them moves to the front only when
 * it is no more than them, so that a long queue costs each byte one move and not one a frame; an
 * empty buffer that once held something large is given back.
 */
static void drop(struct buffer *b, size_t *n)
{
    size_t left = b->size - *n;
    if (*n == 0 || left > *n)
        return;
    if (left)
        memcpy(b->data, b->data + *n, left);
    wipe(b->data + *n, left);
    b->size = left;
    *n = 0;
    if (left == 0 && b->capacity > KEEP_SIZE)
        free_wiped(b);
}

/* ---- receiving ---- */
/* The frame that was taken last is not borrowed any more. */
static void end_loan(struct channel *c)
{
    if (c->lent)
        wipe(c->in.data + c->taken - c->lent, c->lent);
    c->lent = 0;
}

int channel_fill(struct channel *c, struct error *err)
{
    end_loan(c);
    drop(&c->in, &c->taken);
    while (!c->ended && c->in.size - c->taken < sizeof(struct head) + frame_max(c)) {
        if (make_room(&c->in, READ_SIZE) < 0)
            return error_set(err, ENOMEM, "out of memory");
        size_t room = c->in.capacity - c->in.size;
        ssize_t n = recv(c->fd, c->in.data + c->in.size, room, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return 0;
        /* A peer that closed without reading all that it was sent. */
        if (n < 0 && errno == ECONNRESET)
            n = 0;
        if (n < 0)
            return error_errno(err, errno, "channel");
        c->ended = n == 0;
        c->in.size += (size_t)n;
        if ((size_t)n < room) /* that was all; what follows makes the wire readable again */
            return 0;
    }
    return 0;
}

int channel_next(struct channel *c, struct frame *ret, struct error *err)
{
    struct head h;
    end_loan(c);
    size_t left = c->in.size - c->taken;
    if (left < sizeof(h))
        return 0;
    memcpy(&h, c->in.data + c->taken, sizeof(h));
    if (h.size > frame_max(c))
        return error_set(err, EPROTO, "channel: a frame of %u bytes, at most %zu are allowed",
                         h.size, frame_max(c));
    if (left - sizeof(h) < h.size)
        return 0;
    *ret = (struct frame){.type = h.type,
                          .connection = h.connection,
                          .body = BYTES(c->in.data + c->taken + sizeof(h), h.size)};
    c->lent = sizeof(h) + h.size;
    c->taken += c->lent;
    return 1;
}

/* ---- sending ---- */
int channel_flush(struct channel *c, struct error *err)
{
    while (c->sent < c->out.size) {
        ssize_t n = send(c->fd, c->out.data + c->sent, c->out.size - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return error_errno(err, errno, "channel");
        wipe(c->out.data + c->sent, (size_t)n);
        c->sent += (size_t)n;
    }
    drop(&c->out, &c->sent);
    return 0;
}

int channel_queue(struct channel *c, uint32_t type, uint64_t connection, const struct bytes *parts,
                  size_t count, struct error *err)
{
    struct head h = {.type = type, .connection = connection};
    size_t size = 0, out_max = c->out_max ? c->out_max : 4 * CHANNEL_FRAME_MAX;
    for (size_t i = 0; i < count; i++)
        size += parts[i].size;
    if (size > CHANNEL_FRAME_MAX)
        return error_set(err, EMSGSIZE, "channel: a frame of %zu bytes", size);
    h.size = (uint32_t)size;
    if (c->out.size - c->sent + sizeof(h) + size > out_max)
        return error_set(err, ENOBUFS, "channel: the peer does not read");
    if (make_room(&c->out, sizeof(h) + size) < 0)
        return error_set(err, ENOMEM, "out of memory");
    memcpy(c->out.data + c->out.size, &h, sizeof(h));
    c->out.size += sizeof(h);
    for (size_t i = 0; i < count; i++) {
        if (parts[i].size)
            memcpy(c->out.data + c->out.size, parts[i].data, parts[i].size);
        c->out.size += parts[i].size;
    }
    return 0;
}

int channel_send(struct channel *c, uint32_t type, uint64_t connection, const struct bytes *parts,
                 size_t count, struct error *err)
{
    int r = channel_queue(c, type, connection, parts, count, err);
    return r < 0 ? r : channel_flush(c, err);
}

size_t channel_waiting(const struct channel *c)
{
    return c->out.size - c->sent;
}

bool channel_wants_write(const struct channel *c)
{
    return channel_waiting(c) > 0;
}

/* ---- one thing at a time ---- */
static int wait_for(struct channel *c, short events, uint64_t deadline, struct error *err)
{
    struct pollfd p = {.fd = c->fd, .events = events};
    int timeout = -1;
    if (deadline) {
        uint64_t now = clock_now();
        if (now >= deadline)
            return error_set(err, ETIMEDOUT, "channel: no answer in time");
        uint64_t ms = (deadline - now + 999999) / 1000000;
        timeout = ms > 60000 ? 60000 : (int)ms;
    }
    if (poll(&p, 1, timeout) < 0 && errno != EINTR)
        return error_errno(err, errno, "channel");
    return 0;
}

int channel_wait(struct channel *c, struct frame *ret, uint64_t deadline, struct error *err)
{
    for (;;) {
        int r = channel_next(c, ret, err);
        if (r != 0)
            return r < 0 ? r : 0;
        if (c->ended)
            return error_set(err, ECONNRESET, "channel: the peer ended");
        r = wait_for(c, POLLIN, deadline, err);
        if (r == 0)
            r = channel_fill(c, err);
        if (r < 0)
            return r;
    }
}

int channel_drain(struct channel *c, uint64_t deadline, struct error *err)
{
    int r = channel_flush(c, err);
    while (r == 0 && channel_wants_write(c)) {
        r = wait_for(c, POLLOUT, deadline, err);
        if (r == 0)
            r = channel_flush(c, err);
    }
    return r;
}

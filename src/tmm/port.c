#include "tmm/port.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <poll.h>

#define ANSWER_HEADER_SIZE 16

void port_init(struct port *p, int fd, port_answer_fn *answer, void *context)
{
    *p = (struct port){.fd = fd, .answer = answer, .context = context, .credit = PORT_BURST};
    p->out.max = ANSWER_HEADER_SIZE + TMM_TOKEN_MAX + TMM_CERTIFICATE_MAX;
}

void port_free(struct port *p)
{
    buffer_free(&p->out);
}

void port_reset(struct port *p)
{
    p->in_size = 0;
    p->out.size = 0;
    p->out_sent = 0;
}

/* "TMMQ" and the size of the only request there is. */
static void request_header(uint8_t ret[8])
{
    memcpy(ret, TMM_REQUEST_MAGIC, 4);
    put_le32(ret + 4, PORT_CHALLENGE_SIZE);
}

size_t port_resynchronise(uint8_t *in, size_t size)
{
    uint8_t header[8];
    size_t at = 0;

    request_header(header);
    for (; at < size; at++) {
        size_t n = size - at < sizeof(header) ? size - at : sizeof(header);
        if (memcmp(in + at, header, n) == 0)
            break;
    }
    memmove(in, in + at, size - at);
    return size - at;
}

static void refill(struct port *p, uint64_t now_ms)
{
    uint64_t earned = (now_ms - p->credit_at) / PORT_INTERVAL_MS;

    if (earned == 0)
        return;
    p->credit_at = now_ms;
    p->credit = earned >= PORT_BURST - p->credit ? PORT_BURST : p->credit + (unsigned)earned;
}

short port_events(struct port *p, uint64_t now_ms, int *ret_timeout_ms)
{
    refill(p, now_ms);
    if (p->out.size > 0)
        return POLLOUT;
    if (p->credit > 0)
        return POLLIN;
    if (*ret_timeout_ms < 0 || *ret_timeout_ms > PORT_INTERVAL_MS)
        *ret_timeout_ms = PORT_INTERVAL_MS;
    return 0;
}

static int put_answer(struct port *p, int status, const struct buffer *token,
                      const struct buffer *certificate)
{
    uint8_t header[ANSWER_HEADER_SIZE];

    memcpy(header, TMM_ANSWER_MAGIC, 4);
    put_le32(header + 4, (uint32_t)status);
    put_le32(header + 8, (uint32_t)token->size);
    put_le32(header + 12, (uint32_t)certificate->size);
    p->out_sent = 0;
    int r = buffer_append(&p->out, header, sizeof(header));
    if (r == 0)
        r = buffer_append(&p->out, token->data, token->size);
    if (r == 0)
        r = buffer_append(&p->out, certificate->data, certificate->size);
    return r;
}

static int answer_request(struct port *p)
{
    _buffer_ struct buffer token = {.max = TMM_TOKEN_MAX};
    _buffer_ struct buffer certificate = {.max = TMM_CERTIFICATE_MAX};
    static const struct buffer none;
    int r = p->answer(p->context, p->in + 8, &token, &certificate);

    p->credit--;
    p->in_size = 0;
    return r < 0 ? put_answer(p, -r, &none, &none) : put_answer(p, 0, &token, &certificate);
}

static int send_answer(struct port *p)
{
    ssize_t n = send(p->fd, p->out.data + p->out_sent, p->out.size - p->out_sent,
                     MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    p->out_sent += (size_t)n;
    if (p->out_sent == p->out.size)
        p->out.size = p->out_sent = 0;
    return 0;
}

static int receive_request(struct port *p)
{
    ssize_t n = recv(p->fd, p->in + p->in_size, sizeof(p->in) - p->in_size, MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (n == 0)
        return -EPIPE;
    p->in_size = port_resynchronise(p->in, p->in_size + (size_t)n);
    return p->in_size == sizeof(p->in) ? answer_request(p) : 0;
}

int port_handle(struct port *p, short revents, uint64_t now_ms)
{
    refill(p, now_ms);
    if (p->out.size > 0)
        return revents & (POLLOUT | POLLHUP | POLLERR) ? send_answer(p) : 0;
    if (p->credit > 0 && revents)
        return receive_request(p);
    return revents & (POLLHUP | POLLERR) ? -EPIPE : 0;
}

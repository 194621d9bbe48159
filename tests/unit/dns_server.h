/* A DNS server of one thread on loopback, with one behaviour. */
#ifndef ENCROOT_TESTS_DNS_SERVER_H
#define ENCROOT_TESTS_DNS_SERVER_H

#include "unit.h"
#include "agent/resolve.h"
#include "base/bytes.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

enum dns_behaviour {
    DNS_ANSWERS,
    DNS_SILENT,
    DNS_GARBAGE,   /* the question's head, then noise */
    DNS_NOISE,     /* nothing of DNS at all */
    DNS_TRUNCATED, /* asks to come again over TCP, where nobody listens */
    DNS_CUT,       /* the answer ends in the middle of a record */
    DNS_UNKNOWN,   /* NXDOMAIN */
    DNS_FAILS,     /* SERVFAIL */
};

struct dns_fake {
    enum dns_behaviour behaviour;
    size_t four, six;       /* how many addresses of each family */
    uint8_t four_at[16][4]; /* the first ones; the rest is 127.0.0.1 */
    uint8_t six_at[4][16];  /* the same; ::1 */
    bool silent_about_ipv6; /* no answer at all to AAAA */
    int fd;
    pthread_t thread;
    atomic_uint asked;
    atomic_bool end;
};

static inline size_t dns_put_record(uint8_t *p, uint16_t type, const uint8_t *address, uint16_t n)
{
    put_be16(p, 0xc00c); /* the name of the question */
    put_be16(p + 2, type);
    put_be16(p + 4, 1);
    put_be32(p + 6, 0);
    put_be16(p + 10, n);
    memcpy(p + 12, address, n);
    return 12u + n;
}

static inline size_t dns_put_records(const struct dns_fake *s, uint16_t type, uint8_t *p,
                                     uint16_t *count)
{
    static const uint8_t four[4] = {127, 0, 0, 1};
    static const uint8_t six[16] = {[15] = 1};
    size_t n = 0;
    *count = (uint16_t)(type == 28 ? s->six : s->four);
    for (size_t i = 0; i < *count; i++) {
        const uint8_t *six_at = i < 4 && s->six_at[i][0] ? s->six_at[i] : six;
        const uint8_t *four_at = i < 16 && s->four_at[i][0] ? s->four_at[i] : four;
        n += type == 28 ? dns_put_record(p + n, 28, six_at, 16)
                        : dns_put_record(p + n, 1, four_at, 4);
    }
    return n;
}

/* In place; returns the answer's size, 0: none. */
static inline size_t dns_answer(const struct dns_fake *s, uint8_t *p, size_t size)
{
    static const uint8_t codes[] = {[DNS_UNKNOWN] = 3, [DNS_FAILS] = 2};
    uint16_t type = (uint16_t)(p[size - 4] << 8 | p[size - 3]); /* no EDNS in the question */
    uint16_t count = 0;
    if (s->behaviour == DNS_SILENT || (type == 28 && s->silent_about_ipv6))
        return 0;
    if (s->behaviour == DNS_NOISE) {
        memset(p, 0xa5, size);
        return size;
    }
    p[2] |= 0x80; /* a response */
    p[3] = (uint8_t)(0x80 | (s->behaviour < sizeof(codes) ? codes[s->behaviour] : 0));
    if (s->behaviour == DNS_TRUNCATED)
        p[2] |= 2;
    if (s->behaviour == DNS_GARBAGE) {
        put_be16(p + 6, 0xffff);
        memset(p + size, 0xc0, 200);
        return size + 200;
    }
    if (s->behaviour != DNS_ANSWERS && s->behaviour != DNS_CUT)
        return size;
    size += dns_put_records(s, type, p + size, &count);
    put_be16(p + 6, count);
    return s->behaviour == DNS_CUT ? size - 2 : size;
}

static inline void *dns_serve(void *arg)
{
    struct dns_fake *s = arg;
    static const struct timeval tick = {.tv_usec = 50000};
    setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick));
    while (!s->end) {
        uint8_t packet[4096];
        struct sockaddr_in from;
        socklen_t from_size = sizeof(from);
        ssize_t n = recvfrom(s->fd, packet, 512, 0, (void *)&from, &from_size);
        if (n < 17)
            continue;
        s->asked++;
        size_t size = dns_answer(s, packet, (size_t)n);
        if (size)
            sendto(s->fd, packet, size, 0, (void *)&from, from_size);
    }
    return NULL;
}

/* Its address, for a resolver. */
static inline struct dns_server dns_start(struct dns_fake *s)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(own);
    s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (void *)&own, sizeof(own)), 0);
    assert_int_equal(getsockname(s->fd, (void *)&own, &size), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, dns_serve, s), 0);
    return (struct dns_server){INADDR_LOOPBACK, ntohs(own.sin_port)};
}

static inline void dns_stop(struct dns_fake *s)
{
    s->end = true;
    pthread_join(s->thread, NULL);
    close(s->fd);
}

#endif

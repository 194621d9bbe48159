#include "unit.h"
#include "platform/virtcca/attester.h"
#include "crypto/tls.h"
#include "protocol/tmm_port.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static const uint8_t challenge[CHALLENGE_SIZE] = {1, 2, 3, [63] = 64};

/* ---- a /dev/tsi ---- */
struct fake_tsi {
    bool old;                /* knows the older ioctl only */
    int unknown;             /* errno for an ioctl it does not know */
    uint64_t token_size;     /* what it says */
    size_t readable;         /* what read(2) yields (older form) */
    size_t chunk;            /* at once */
    uint64_t certificate;    /* its size */
    int fails_with;          /* errno of every ioctl */
    unsigned opened, closed; /* counts */
    size_t at;
};

static int fake_open(void *arg)
{
    struct fake_tsi *f = arg;
    f->opened++;
    return 42;
}

static void fake_close(void *arg, int fd)
{
    struct fake_tsi *f = arg;
    assert_int_equal(fd, 42);
    f->closed++;
}

/* The token is the challenge, over and over: so a test sees that it got there. */
static void fill_token(const struct fake_tsi *f, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = challenge[(f->at + i) % CHALLENGE_SIZE];
}

static int fake_ioctl(void *arg, int fd, unsigned long request, void *data)
{
    struct fake_tsi *f = arg;
    assert_int_equal(fd, 42);
    errno = f->fails_with;
    if (f->fails_with)
        return -1;
    if (request == TSI_GET_CERTIFICATE) {
        struct tsi_certificate *c = data;
        c->size = f->certificate;
        memset(c->value, 0x30, sizeof(c->value));
        return 0;
    }
    if (request == (f->old ? TSI_GET_TOKEN_OLD : TSI_GET_TOKEN)) {
        assert_memory_equal(data, challenge, CHALLENGE_SIZE); /* first in both forms */
        if (f->old) {
            ((struct tsi_token_old *)data)->token_size = f->token_size;
        } else {
            struct tsi_token *t = data;
            fill_token(f, t->token, sizeof(t->token));
            t->token_size = f->token_size;
        }
        return 0;
    }
    errno = f->unknown;
    return -1;
}

static ssize_t fake_read(void *arg, int fd, void *p, size_t n)
{
    struct fake_tsi *f = arg;
    assert_int_equal(fd, 42);
    size_t left = f->readable - f->at;
    n = n < left ? n : left;
    n = f->chunk && n > f->chunk ? f->chunk : n;
    fill_token(f, p, n);
    f->at += n;
    return (ssize_t)n;
}

static int collect(struct fake_tsi *f, struct buffer *token, struct buffer *certificate,
                   struct error *err)
{
    struct tsi_ops ops = {
        .open = fake_open, .ioctl = fake_ioctl, .read = fake_read, .close = fake_close, .arg = f};
    int r = tsi_collect(&ops, challenge, token, certificate, err);
    assert_int_equal(f->opened, f->closed);
    return r;
}

static void check_good(struct fake_tsi *f, size_t size)
{
    _buffer_ struct buffer token = {0};
    _buffer_ struct buffer certificate = {0};
    struct error err = {0};
    if (collect(f, &token, &certificate, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(token.size, size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(token.data[i], challenge[i % CHALLENGE_SIZE]);
    assert_int_equal(certificate.size, f->certificate);
}

static void tsi_both_forms(void **state)
{
    (void)state;
    check_good(&(struct fake_tsi){.token_size = 1431, .certificate = 1200, .unknown = ENOTTY},
               1431);
    check_good(&(struct fake_tsi){.token_size = 8192, .certificate = 4096, .unknown = ENOTTY},
               8192);
    check_good(&(struct fake_tsi){.old = true,
                                  .unknown = ENOTTY,
                                  .token_size = 1431,
                                  .readable = 1431,
                                  .certificate = 900},
               1431);
    check_good(&(struct fake_tsi){.old = true,
                                  .unknown = EINVAL,
                                  .token_size = 5000,
                                  .readable = 5000,
                                  .chunk = 4096,
                                  .certificate = 900},
               5000);
}

static void tsi_defects_are_named(void **state)
{
    (void)state;
    static const struct {
        struct fake_tsi device;
        const char *text;
    } bad[] = {
        {{.token_size = 0, .certificate = 900}, "token of 0 bytes"},
        {{.token_size = 8193, .certificate = 900}, "token of 8193 bytes"},
        {{.token_size = UINT64_MAX, .certificate = 900}, "token of"},
        {{.token_size = 100, .certificate = 0}, "certificate of 0 bytes"},
        {{.token_size = 100, .certificate = 4097}, "certificate of 4097 bytes"},
        {{.old = true, .unknown = ENOTTY, .token_size = 200, .readable = 199, .certificate = 9},
         "ended after 199"},
        {{.old = true, .unknown = ENOTTY, .token_size = 9000, .readable = 9000, .certificate = 9},
         "token of 9000 bytes"},
        {{.old = true, .unknown = EPERM, .token_size = 200, .readable = 200, .certificate = 9},
         "Operation not permitted"},
        {{.fails_with = EIO}, "Input/output error"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct fake_tsi f = bad[i].device;
        struct buffer token = {0};
        struct buffer certificate = {0};
        struct error err = {0};
        if (collect(&f, &token, &certificate, &err) >= 0 || !strstr(err.text, bad[i].text))
            fail_msg("%zu: %s", i, err.text);
        assert_null(token.data);
        assert_null(certificate.data);
    }
}

/* ---- a software TMM at the other end of a socket ---- */
struct fake_tmm {
    int fd;
    const char *noise; /* sent before the answer */
    uint32_t status, token_size, certificate_size;
    size_t cut; /* bytes of the answer to send at most; 0: all */
    bool asked; /* a proper request came */
};

static void *play_tmm(void *arg)
{
    struct fake_tmm *f = arg;
    uint8_t request[8 + CHALLENGE_SIZE];
    if (recv(f->fd, request, sizeof(request), MSG_WAITALL) != (ssize_t)sizeof(request))
        return NULL;
    f->asked = memcmp(request, "TMMQ\x40\0\0\0", 8) == 0 &&
               memcmp(request + 8, challenge, CHALLENGE_SIZE) == 0;
    uint8_t answer[256] = "TMMA";
    put_le32(answer + 4, f->status);
    put_le32(answer + 8, f->token_size);
    put_le32(answer + 12, f->certificate_size);
    memset(answer + 16, 'T', 100);
    memset(answer + 116, 'C', 50);
    size_t size = f->cut ? f->cut : 166;
    if (send(f->fd, f->noise, strlen(f->noise), 0) < 0)
        return NULL;
    for (size_t i = 0; i < size; i++) /* byte by byte: nothing may rely on whole messages */
        if (send(f->fd, answer + i, 1, 0) != 1)
            return NULL;
    return NULL;
}

static int exchange(struct fake_tmm *f, uint64_t patience, struct buffer *token,
                    struct buffer *certificate, struct error *err)
{
    int pair[2];
    pthread_t thread;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(send(pair[1], "TMMAstale", 9, 0), 9); /* of an exchange broken off */
    f->fd = pair[1];
    assert_int_equal(pthread_create(&thread, NULL, play_tmm, f), 0);
    int r = tmm_port_exchange(pair[0], challenge, clock_now() + patience, token, certificate, err);
    pthread_join(thread, NULL);
    close(pair[0]);
    close(pair[1]);
    assert_true(f->asked);
    return r;
}

static void tmm_answers(void **state)
{
    (void)state;
    static const char *const noise[] = {"", "noise", "TMTMM", "TMM"};
    for (size_t i = 0; i < ARRAY_SIZE(noise); i++) {
        struct fake_tmm f = {.noise = noise[i], .token_size = 100, .certificate_size = 50};
        _buffer_ struct buffer token = {0};
        _buffer_ struct buffer certificate = {0};
        struct error err = {0};
        if (exchange(&f, SECONDS(60), &token, &certificate, &err) != 0)
            fail_msg("%s: %s", noise[i], err.text);
        assert_int_equal(token.size, 100);
        assert_int_equal(token.data[99], 'T');
        assert_int_equal(certificate.size, 50);
        assert_int_equal(certificate.data[49], 'C');
    }
}

static void tmm_defects_are_named(void **state)
{
    (void)state;
    static const struct {
        struct fake_tmm tmm;
        int r;
        const char *text;
    } bad[] = {
        {{.noise = "", .status = 5, .token_size = 0}, -EIO, "error 5"},
        {{.noise = "", .token_size = 0, .certificate_size = 50}, -EPROTO, "impossible"},
        {{.noise = "", .token_size = 65537, .certificate_size = 50}, -EPROTO, "impossible"},
        {{.noise = "", .token_size = 100, .certificate_size = 16385}, -EPROTO, "impossible"},
        {{.noise = "", .token_size = 101, .certificate_size = 50}, -ETIMEDOUT, "does not answer"},
        {{.noise = "", .token_size = 100, .certificate_size = 50, .cut = 10},
         -ETIMEDOUT,
         "does not answer"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct fake_tmm f = bad[i].tmm;
        struct buffer token = {0};
        struct buffer certificate = {0};
        struct error err = {0};
        uint64_t patience = bad[i].r == -ETIMEDOUT ? SECONDS(1) / 2 : SECONDS(60);
        if (exchange(&f, patience, &token, &certificate, &err) != bad[i].r ||
            !strstr(err.text, bad[i].text))
            fail_msg("%zu: %s", i, err.text);
        assert_null(token.data);
        assert_null(certificate.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tsi_both_forms),
        cmocka_unit_test(tsi_defects_are_named),
        cmocka_unit_test(tmm_answers),
        cmocka_unit_test(tmm_defects_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

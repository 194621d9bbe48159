#include "unit.h"
#include "base/io.h"
#include "crypto/tls.h"
#include "protocol/channel.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>

struct fixture {
    char folder[64];
    char key[96], cert[96];
    struct tls_identity *id;
    uint8_t pin[32];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/encroot-test-XXXXXX");
    if (!mkdtemp(f->folder))
        return -1;
    snprintf(f->key, sizeof(f->key), "%s/broker.key", f->folder);
    snprintf(f->cert, sizeof(f->cert), "%s/broker.crt", f->folder);
    struct error e = {0};
    if (tls_identity_create(f->key, f->cert, &e) < 0 ||
        tls_identity_load(&f->id, f->key, f->cert, &e) < 0 || tls_identity_pin(f->id, f->pin) < 0) {
        print_error("%s\n", e.text);
        return -1;
    }
    signal(SIGPIPE, SIG_IGN);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    tls_identity_free(f->id);
    unlink(f->key);
    unlink(f->cert);
    rmdir(f->folder);
    free(f);
    return 0;
}

/* The broker's end in a thread: accepts, gives its exporter, echoes one byte. */
struct server {
    int fd;
    const struct tls_identity *id;
    uint64_t deadline;
    int result;
    uint8_t exporter[CHANNEL_EXPORTER_SIZE];
    struct error err;
};

static void *serve(void *arg)
{
    struct server *s = arg;
    _tls_ struct tls *t = NULL;
    s->result = tls_accept(&t, s->fd, s->id, s->deadline, &s->err);
    if (s->result == 0)
        s->result =
            tls_exporter(t, s->exporter, sizeof(s->exporter), CHANNEL_EXPORTER_LABEL, &s->err);
    uint8_t byte = 0;
    if (s->result == 0 && tls_read(t, &byte, 1, s->deadline, &s->err) == 1)
        s->result = tls_write(t, &byte, 1, s->deadline, &s->err);
    return NULL;
}

static int exchange(const struct fixture *f, const uint8_t pin[32], struct server *s,
                    uint8_t exporter[CHANNEL_EXPORTER_SIZE], struct error *e)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    *s = (struct server){.fd = fds[0], .id = f->id, .deadline = clock_now() + SECONDS(10)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, serve, s), 0);
    struct tls *t = NULL;
    int r = tls_connect(&t, fds[1], (const uint8_t(*)[32])pin, 1, s->deadline, e);
    if (r == 0)
        r = tls_exporter(t, exporter, CHANNEL_EXPORTER_SIZE, CHANNEL_EXPORTER_LABEL, e);
    if (r == 0)
        r = tls_write(t, "x", 1, s->deadline, e);
    char byte = 0;
    if (r == 0 && tls_read(t, &byte, 1, s->deadline, e) != 1)
        r = -EIO;
    tls_close(t);
    close(fds[1]);
    pthread_join(thread, NULL);
    close(fds[0]);
    return r == 0 && byte != 'x' ? -EIO : r;
}

static void both_ends_share_an_exporter_of_this_connection_only(void **state)
{
    struct fixture *f = *state;
    struct server s;
    struct error e = {0};
    uint8_t one[CHANNEL_EXPORTER_SIZE], two[CHANNEL_EXPORTER_SIZE];
    assert_int_equal(exchange(f, f->pin, &s, one, &e), 0);
    assert_int_equal(s.result, 0);
    assert_memory_equal(s.exporter, one, sizeof(one));
    assert_int_equal(exchange(f, f->pin, &s, two, &e), 0);
    assert_memory_not_equal(one, two, sizeof(one)); /* E14 */

    uint8_t a[CHALLENGE_SIZE], b[CHALLENGE_SIZE];
    assert_int_equal(channel_challenge(a, one, &e), 0);
    assert_int_equal(channel_challenge(b, two, &e), 0);
    assert_memory_not_equal(a, b, sizeof(a));
}

static void another_key_is_refused(void **state) /* C2 */
{
    struct fixture *f = *state;
    struct server s;
    struct error e = {0};
    uint8_t exporter[CHANNEL_EXPORTER_SIZE], wrong[32];
    memcpy(wrong, f->pin, 32);
    wrong[31] ^= 1;
    assert_int_equal(exchange(f, wrong, &s, exporter, &e), -EKEYREJECTED);
    assert_int_equal(s.result, -EKEYREJECTED); /* both ends can say what is wrong */
    uint8_t none[1][32];
    struct tls *t = NULL;
    assert_int_equal(tls_connect(&t, 0, none, 0, clock_now(), &e), -EINVAL);
}

/* A client of OpenSSL's own with one thing changed; returns whether the handshake succeeded. */
static bool plain_client(const struct fixture *f, int version, const char *alpn, size_t alpn_size,
                         struct server *s)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    *s = (struct server){.fd = fds[0], .id = f->id, .deadline = clock_now() + SECONDS(10)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, serve, s), 0);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_alpn_protos(ctx, (const uint8_t *)alpn, (unsigned)alpn_size);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fds[1]);
    bool ok = SSL_connect(ssl) == 1 && SSL_write(ssl, "x", 1) == 1;
    char byte;
    ok = ok && SSL_read(ssl, &byte, 1) == 1;
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fds[1]);
    pthread_join(thread, NULL);
    close(fds[0]);
    return ok;
}

static void old_versions_and_other_protocols_are_refused(void **state)
{
    struct fixture *f = *state;
    struct server s;
    assert_true(plain_client(f, TLS1_3_VERSION,
                             "\x09"
                             "encroot/1",
                             10, &s)); /* the good twin */
    assert_int_equal(s.result, 0);
    assert_false(plain_client(f, TLS1_2_VERSION,
                              "\x09"
                              "encroot/1",
                              10, &s));
    assert_true(s.result < 0);
    assert_false(plain_client(f, TLS1_3_VERSION,
                              "\x08"
                              "http/1.1",
                              9, &s));
    assert_true(s.result < 0);
    assert_false(plain_client(f, TLS1_3_VERSION, NULL, 0, &s));
    assert_true(s.result < 0);
}

static void a_silent_peer_costs_no_more_than_the_deadline(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    struct error e = {0};
    struct tls *t = NULL;
    uint64_t start = clock_now();
    assert_int_equal(tls_accept(&t, fds[0], f->id, start + SECONDS(1) / 5, &e), -ETIMEDOUT);
    assert_true(clock_now() - start >= SECONDS(1) / 5);
    assert_int_equal(
        tls_connect(&t, fds[0], (const uint8_t(*)[32])f->pin, 1, clock_now() + SECONDS(1) / 5, &e),
        -ETIMEDOUT);
    close(fds[0]);
    close(fds[1]);
}

/* A client that sends key updates as fast as a socket takes them. */
struct flood {
    int fd;
    atomic_bool ready, done;
};

static void *update_keys(void *arg)
{
    struct flood *f = arg;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_alpn_protos(ctx,
                            (const uint8_t *)"\x09"
                                             "encroot/1",
                            10);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, f->fd);
    bool ok = SSL_connect(ssl) == 1;
    BIO *records = BIO_new(BIO_s_mem());
    SSL_set0_wbio(ssl, records);
    for (int i = 0; ok && i < 200000; i++)
        ok = SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(ssl) == 1;
    const uint8_t *data;
    long size = BIO_get_mem_data(records, &data);
    f->ready = true;
    f->done = ok && write_exact(f->fd, data, (size_t)size) == 0;
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return NULL;
}

/* C8 */
static void a_peer_that_only_updates_keys_costs_no_more_either(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    struct error e = {0};
    _tls_ struct tls *t = NULL;
    char byte;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    struct flood flood = {.fd = fds[1]};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, update_keys, &flood), 0);
    assert_int_equal(tls_accept(&t, fds[0], f->id, clock_now() + SECONDS(10), &e), 0);
    while (!flood.ready)
        usleep(1000);
    assert_int_equal(tls_read(t, &byte, 1, clock_now() + SECONDS(1) / 100, &e), -ETIMEDOUT);
    assert_false(flood.done);
    shutdown(fds[0], SHUT_RDWR);
    pthread_join(thread, NULL);
    close(fds[0]);
    close(fds[1]);
}

static void garbage_is_a_protocol_error(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(write_exact(fds[1], "GET / HTTP/1.0\r\n\r\n", 18), 0);
    struct error e = {0};
    struct tls *t = NULL;
    assert_int_equal(tls_accept(&t, fds[0], f->id, clock_now() + SECONDS(5), &e), -EPROTO);
    close(fds[0]);
    close(fds[1]);
}

/* A port forwarder in front of a guest that does not listen yet: worth another try, not an error
 * of the protocol. */
static void a_peer_that_leaves_is_a_reset(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    close(fds[1]);
    struct error e = {0};
    struct tls *t = NULL;
    assert_int_equal(tls_accept(&t, fds[0], f->id, clock_now() + SECONDS(5), &e), -ECONNRESET);
    close(fds[0]);
}

static void identities_are_checked(void **state)
{
    struct fixture *f = *state;
    struct error e = {0};
    struct tls_identity *id = NULL;
    assert_int_equal(tls_identity_create(f->key, f->cert, &e), -EEXIST); /* never overwritten */
    char other_key[96], other_cert[96];
    snprintf(other_key, sizeof(other_key), "%s/other.key", f->folder);
    snprintf(other_cert, sizeof(other_cert), "%s/other.crt", f->folder);
    assert_int_equal(tls_identity_create(other_key, other_cert, &e), 0);
    assert_int_equal(tls_identity_load(&id, other_key, f->cert, &e), -EINVAL);
    assert_non_null(strstr(e.text, "private key is not the one"));
    assert_int_equal(tls_identity_load(&id, f->cert, f->cert, &e), -EPERM); /* mode 644 */
    uint8_t pin[32];
    assert_int_equal(tls_certificate_pin(pin, f->cert, &e), 0);
    assert_memory_equal(pin, f->pin, 32);
    unlink(other_key);
    unlink(other_cert);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_share_an_exporter_of_this_connection_only),
        cmocka_unit_test(another_key_is_refused),
        cmocka_unit_test(old_versions_and_other_protocols_are_refused),
        cmocka_unit_test(a_silent_peer_costs_no_more_than_the_deadline),
        cmocka_unit_test(a_peer_that_only_updates_keys_costs_no_more_either),
        cmocka_unit_test(garbage_is_a_protocol_error),
        cmocka_unit_test(a_peer_that_leaves_is_a_reset),
        cmocka_unit_test(identities_are_checked),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

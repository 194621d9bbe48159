/*
 * forge-guest DIR [--defect DEFECT] [--do WHAT] [--times N]: a guest that waits for its key, as
 * encroot-agent does, with forged evidence for the connection that it is asked on. DIR is a folder
 * of `encroot init`; its trust anchors and reference values are made here. Prints "port N" and
 * "rim HEX", and for each connection what came of it:
 *   "secret HEX-OF-SHA-256", "status N BODY", or "failed TEXT".
 */
#include "forgery.h"
#include "base/hex.h"
#include "crypto/tls.h"
#include "protocol/channel.h"
#include "protocol/http.h"
#include "protocol/release.h"

#include <arpa/inet.h>
#include <err.h>
#include <signal.h>
#include <sys/socket.h>

struct guest {
    struct forgery forgery;
    const char *defect;
    uint8_t pin[32];
    struct evidence kept; /* of an earlier connection: for replay */
    bool has_kept;
    const struct behaviour *behaviour;
};

/* What it may do other than asking properly. Returns whether it still wants an answer. */
struct behaviour {
    const char *name;
    bool other_pin;
    bool silent;  /* never says a word after accepting */
    bool hang_up; /* at once */
    const char *method, *path, *type;
    struct bytes body; /* instead of evidence, if not empty */
    bool replay;       /* the evidence of the connection before */
    bool leave_before_answer;
    bool rude; /* leaves without close_notify */
};

#define BYTES_LITERAL(s)                                                                           \
    {                                                                                              \
        (const uint8_t *)(s), sizeof(s) - 1                                                        \
    }
#define ASK .method = "POST", .path = RELEASE_PATH, .type = "application/json"
static const struct behaviour behaviours[] = {
    {"ask", ASK},
    {"expect-another-broker", .other_pin = true, ASK},
    {"say-nothing", .silent = true},
    {"hang-up", .hang_up = true},
    {"get", .method = "GET", .path = RELEASE_PATH, .type = "application/json"},
    {"other-path", .method = "POST", .path = "/v1/secrets", .type = "application/json"},
    {"other-type", .method = "POST", .path = RELEASE_PATH, .type = "text/plain"},
    {"no-evidence", ASK, .body = BYTES_LITERAL("{}")},
    {"escape", ASK, .body = BYTES_LITERAL("{\"\\u001b[2J\\u009b2J\": 1}")},
    {"garbage", ASK, .body = BYTES_LITERAL("\0\xff[")},
    {"replay", ASK, .replay = true},
    {"leave-before-answer", ASK, .leave_before_answer = true},
    {"rude", ASK, .rude = true},
};

static const struct behaviour *find_behaviour(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(behaviours); i++)
        if (strcmp(behaviours[i].name, name) == 0)
            return &behaviours[i];
    errx(2, "unknown behaviour %s", name);
}

static int listen_somewhere(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 8) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &size) < 0)
        err(1, "listening");
    printf("port %u\n", (unsigned)ntohs(a.sin_port));
    return fd;
}

/* Evidence for this connection, or that of an earlier one. */
static int make_body(struct guest *g, struct tls *t, struct buffer *ret, struct error *e)
{
    uint8_t exporter[CHANNEL_EXPORTER_SIZE], challenge[CHALLENGE_SIZE];
    if (g->behaviour->body.size)
        return buffer_append(ret, g->behaviour->body.data, g->behaviour->body.size);
    if (g->behaviour->replay && g->has_kept)
        return evidence_format(&g->kept, ret, e);
    int r = tls_exporter(t, exporter, sizeof(exporter), CHANNEL_EXPORTER_LABEL, e);
    if (r == 0)
        r = channel_challenge(challenge, exporter, e);
    if (r < 0)
        return r;
    forgery_set_challenge(&g->forgery, challenge);
    if (g->defect)
        forgery_apply(&g->forgery, g->defect);
    evidence_free(&g->kept);
    forgery_evidence(&g->forgery, &g->kept);
    memset(g->kept.volume, 0xab, sizeof(g->kept.volume));
    g->has_kept = true;
    return evidence_format(&g->kept, ret, e);
}

static int read_answer(struct http_stream *s, struct error *e)
{
    struct http_response a;
    uint8_t body[256] = {0};
    char hex[DIGEST_HEX_SIZE];
    struct digest d;
    int r = http_read_response(s, &a, e);
    if (r == 0 && a.content_length >= sizeof(body))
        r = error_set(e, EFBIG, "a body of %llu bytes", (unsigned long long)a.content_length);
    if (r == 0)
        r = http_read_body(s, body, (size_t)a.content_length, e);
    if (r < 0)
        return r;
    if (a.status != 200) {
        printf("status %d %s", a.status, (const char *)body);
        return 0;
    }
    must(digest_compute(&d, HASH_SHA256, BYTES(body, a.content_length)), e);
    digest_hex(&d, hex);
    printf("secret %s\n", hex);
    return 0;
}

static int ask(struct guest *g, int fd, struct error *e)
{
    const struct behaviour *b = g->behaviour;
    _tls_ struct tls *t = NULL;
    _buffer_ struct buffer body = {0};
    struct http_tls over = {.deadline = clock_now() + SECONDS(30)};
    uint8_t pin[1][32];
    memcpy(pin[0], g->pin, 32);
    pin[0][0] ^= b->other_pin;
    int r = tls_connect(&t, fd, (const uint8_t(*)[32])pin, 1, over.deadline, e);
    if (r < 0)
        return r;
    over.tls = t;
    struct http_stream s = http_over_tls(&over);
    r = make_body(g, t, &body, e);
    if (r == 0)
        r = http_write_request(&s, b->method, b->path, b->type, buffer_bytes(&body), e);
    if (r == 0 && b->leave_before_answer)
        return error_set(e, ECANCELED, "left before the answer");
    if (r == 0)
        r = read_answer(&s, e);
    if (b->rude)
        shutdown(fd, SHUT_RDWR); /* before tls_close could say goodbye */
    return r;
}

static void serve(struct guest *g, int listening)
{
    struct error e = {0};
    _close_ int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        err(1, "accept");
    if (g->behaviour->hang_up)
        puts("hung up");
    else if (g->behaviour->silent) {
        char byte[4096];
        while (read(fd, byte, sizeof(byte)) > 0)
            ;
        puts("said nothing");
    } else if (ask(g, fd, &e) < 0)
        printf("failed %s\n", e.text);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct guest g = {.behaviour = &behaviours[0]};
    struct error e = {0};
    int times = 1;
    char rim[DIGEST_HEX_SIZE], certificate[4096];
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--defect") == 0)
            g.defect = argv[i + 1];
        else if (strcmp(argv[i], "--do") == 0)
            g.behaviour = find_behaviour(argv[i + 1]);
        else if (strcmp(argv[i], "--times") == 0)
            times = (int)strtol(argv[i + 1], NULL, 10);
        else
            errx(2, "unknown option %s", argv[i]);
    }
    if (argc < 2)
        errx(2, "usage: forge-guest DIR [--defect DEFECT] [--do WHAT] [--times N]");
    signal(SIGPIPE, SIG_IGN);
    snprintf(certificate, sizeof(certificate), "%s/broker.crt", argv[1]);
    must(tls_certificate_pin(g.pin, certificate, &e), &e);
    forgery_begin(&g.forgery);
    forgery_write_trust(&g.forgery, argv[1]);
    forgery_write_reference(argv[1]);
    forgery_rim(rim);
    _close_ int listening = listen_somewhere();
    printf("rim %s\n", rim);
    fflush(stdout);
    while (times-- > 0)
        serve(&g, listening);
    evidence_free(&g.kept);
    forgery_end(&g.forgery);
    return 0;
}

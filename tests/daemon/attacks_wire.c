/* What a front can say to the gate, to its appraiser and to the keeper. */
#include "attacks.h"
#include "crypto/tls.h"
#include "daemon/handoff.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define SHORT_TIME SECONDS(5)

static bool wait_for(int fd, int milliseconds)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, milliseconds) == 1;
}

/* The next connection that the gate hands out; 0: none came. Its socket stays open. */
static uint64_t take_connection(struct victim *v)
{
    struct message_connection m;
    uint64_t number = 0;
    int fd;
    for (int i = 0; i < 500; i++) {
        if (!wait_for(v->handoff, 100))
            continue;
        if (handoff_receive(v->handoff, &number, &m, &fd, NULL) == 1)
            return number;
    }
    return 0;
}

/* ---- the gate ---- */
/* How many bytes of signature came; -1: the gate is gone. */
static int ask_signature(struct victim *v, uint64_t number, uint32_t size)
{
    struct message_sign m = {.size = size};
    struct bytes body = BYTES(&m, sizeof(m));
    struct frame f;
    uint64_t deadline = clock_now() + SHORT_TIME;
    if (channel_send(&v->sign, MESSAGE_SIGN, number, &body, 1, NULL) < 0 ||
        channel_drain(&v->sign, deadline, NULL) < 0)
        return -1;
    do { /* past what another question was too impatient to wait for */
        if (channel_wait(&v->sign, &f, deadline, NULL) < 0)
            return -1;
    } while (f.connection != number);
    return (int)f.body.size;
}

static void sign_twice(struct victim *v, const struct attack *a)
{
    uint64_t number = take_connection(v);
    int first = number ? ask_signature(v, number, 32) : -1;
    int second = first > 0 ? ask_signature(v, number, 32) : -1;
    if (first <= 0)
        attack_report(a, true, "not even the one signature was made");
    else
        attack_report(a, second > 0, "the second signature");
}

/* Guests go on coming. Whoever can be signed for has been handed out before, and waits here. */
static bool is_own(struct victim *v, uint64_t number)
{
    uint64_t own = 0;
    while (own != number && wait_for(v->handoff, 0) && (own = take_connection(v)) != 0)
        continue;
    return own == number;
}

/* Numbers of connections that the other front has, or that nobody has. */
static void sign_others(struct victim *v, const struct attack *a)
{
    uint64_t own = take_connection(v), max = v->config->max_connections;
    bool breach = own == 0;
    for (uint64_t use = 0; use < 16 && !breach; use++)
        for (uint64_t slot = 0; slot < 16 && !breach; slot++) {
            uint64_t number = use * max + slot;
            breach = number != own && ask_signature(v, number, 32) > 0 && !is_own(v, number);
        }
    attack_report(a, breach, "signatures for the connections of others");
}

static void sign_sizes(struct victim *v, const struct attack *a)
{
    static const uint32_t sizes[] = {0, 1, 20, 31, 33, 47, 49, 64, 4096, UINT32_MAX};
    bool breach = false;
    for (size_t i = 0; i < ARRAY_SIZE(sizes) && !breach; i++) {
        uint64_t number = take_connection(v);
        breach = !number || ask_signature(v, number, sizes[i]) > 0;
    }
    attack_report(a, breach, "signatures over what is no transcript hash");
}

static void sign_checkpoint(struct victim *v, const struct attack *a)
{
    struct message_checkpoint m = {.sequence = 1};
    struct bytes body = BYTES(&m, sizeof(m));
    struct frame f;
    bool got = channel_send(&v->sign, MESSAGE_SIGN_CHECKPOINT, 0, &body, 1, NULL) == 0 &&
               channel_wait(&v->sign, &f, clock_now() + SHORT_TIME, NULL) == 0 && f.body.size > 0;
    attack_report(a, got, "a checkpoint");
}

/* ---- decisions ---- */
/* Whatever comes from the keeper within a short time: a secret among it? */
static bool secret_comes(struct victim *v, bool *answered)
{
    struct frame f;
    struct message_answer m;
    uint64_t deadline = clock_now() + SHORT_TIME;
    *answered = false;
    while (channel_wait(&v->answers, &f, deadline, NULL) == 0) {
        if (f.type != MESSAGE_ANSWER || f.body.size != sizeof(m))
            return true; /* anything else is none of a front's business */
        memcpy(&m, f.body.data, sizeof(m));
        *answered = true;
        if (m.status == 200)
            return true;
    }
    return false;
}

/* `argument`: what the exporter consists of. */
static void send_evidence(struct victim *v, const struct attack *a)
{
    uint8_t exporter[CHANNEL_EXPORTER_SIZE];
    uint64_t number = take_connection(v);
    bool answered;
    memset(exporter, (int)a->argument, sizeof(exporter));
    struct bytes parts[] = {BYTES_OF(exporter), buffer_bytes(&v->body)};
    if (!number || channel_send(&v->evidence, MESSAGE_EVIDENCE, number, parts, 2, NULL) < 0 ||
        channel_drain(&v->evidence, clock_now() + SHORT_TIME, NULL) < 0) {
        attack_report(a, true, "no evidence was sent");
        return;
    }
    bool breach = secret_comes(v, &answered);
    attack_report(a, breach, breach ? "the secret" : answered ? "refused" : "no answer");
}

/* The same for a connection that was never handed to it. */
static void send_evidence_elsewhere(struct victim *v, const struct attack *a)
{
    uint8_t exporter[CHANNEL_EXPORTER_SIZE] = {0};
    struct bytes parts[] = {BYTES_OF(exporter), buffer_bytes(&v->body)};
    bool answered;
    uint64_t number = take_connection(v);
    (void)!channel_send(&v->evidence, MESSAGE_EVIDENCE, number + 4711, parts, 2, NULL);
    (void)!channel_drain(&v->evidence, clock_now() + SHORT_TIME, NULL);
    attack_report(a, secret_comes(v, &answered), "evidence of a connection that it does not have");
}

static void send_evidence_twice(struct victim *v, const struct attack *a)
{
    uint8_t exporter[CHANNEL_EXPORTER_SIZE] = {0};
    struct bytes parts[] = {BYTES_OF(exporter), buffer_bytes(&v->body)};
    struct frame f;
    bool answered;
    uint64_t number = take_connection(v);
    if (channel_send(&v->evidence, MESSAGE_EVIDENCE, number, parts, 2, NULL) < 0 ||
        channel_drain(&v->evidence, clock_now() + SHORT_TIME, NULL) < 0 ||
        channel_wait(&v->answers, &f, clock_now() + 5 * SHORT_TIME, NULL) < 0) {
        attack_report(a, true, "not even the first was answered");
        return;
    }
    (void)!channel_send(&v->evidence, MESSAGE_EVIDENCE, number, parts, 2, NULL);
    (void)!channel_drain(&v->evidence, clock_now() + SHORT_TIME, NULL);
    attack_report(a, secret_comes(v, &answered), "a second decision for one connection");
}

/* To the keeper itself, as if it were an appraiser or the administration. `argument`: the type. */
static void speak_to_keeper(struct victim *v, const struct attack *a)
{
    static uint8_t body[sizeof(struct message_decision) + 4];
    struct message_decision d = {.readable = 1, .passed = 1, .edition = 1};
    struct bytes part = BYTES_OF(body);
    bool answered;
    memset(d.volume, 0xab, sizeof(d.volume));
    d.findings_size = 4;
    memcpy(body, &d, sizeof(d));
    uint64_t number = take_connection(v);
    if (!number || channel_send(&v->answers, (uint32_t)a->argument, number, &part, 1, NULL) < 0 ||
        channel_drain(&v->answers, clock_now() + SHORT_TIME, NULL) < 0)
        attack_report(a, true, "it was not said");
    else
        attack_report(a, secret_comes(v, &answered), "a decision of its own");
}

/* ---- frames that are none ---- */
enum { TO_GATE, TO_APPRAISER, TO_KEEPER, OVERSIZED = 0, TRUNCATED = 8, UNKNOWN = 16 };

static void break_frames(struct victim *v, const struct attack *a)
{
    struct channel *const wires[] = {&v->sign, &v->evidence, &v->answers};
    struct {
        uint32_t type, size;
        uint64_t connection;
    } head = {.type = MESSAGE_EVIDENCE, .size = 16};
    bool answered;
    int fd = wires[a->argument & 7]->fd;
    uint64_t kind = a->argument & ~(uint64_t)7;
    uint64_t number = take_connection(v);
    head.connection = number;
    if (kind == OVERSIZED)
        head.size = UINT32_MAX;
    if (kind == UNKNOWN)
        head.type = 4711;
    (void)!send(fd, &head, sizeof(head), MSG_NOSIGNAL);
    if (kind != TRUNCATED) {
        static uint8_t waste[1 << 16];
        (void)!send(fd, waste, kind == UNKNOWN ? 16 : sizeof(waste), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    attack_report(a, secret_comes(v, &answered), "frames that are none");
}

#define WIRE(text, f)                                                                              \
    {                                                                                              \
        .name = text, .run = f                                                                     \
    }
#define BREAK(text, how)                                                                           \
    {                                                                                              \
        .name = text, .run = break_frames, .argument = how                                         \
    }

const struct attack wire_attacks[] = {
    WIRE("sign-twice", sign_twice),
    WIRE("sign-others", sign_others),
    WIRE("sign-sizes", sign_sizes),
    WIRE("sign-checkpoint", sign_checkpoint),
    /* What a front may do, for its own connection: the good twin of the next ones. */
    {.name = "evidence-of-its-own", .run = send_evidence, .argument = 0},
    {.name = "evidence-of-another-exporter", .run = send_evidence, .argument = 1},
    WIRE("evidence-elsewhere", send_evidence_elsewhere),
    WIRE("evidence-twice", send_evidence_twice),
    {.name = "decision", .run = speak_to_keeper, .argument = MESSAGE_DECISION},
    {.name = "unwrap", .run = speak_to_keeper, .argument = MESSAGE_UNWRAP},
    {.name = "policy-wanted", .run = speak_to_keeper, .argument = MESSAGE_POLICY_WANTED},
    {.name = "new-connection", .run = speak_to_keeper, .argument = MESSAGE_CONNECTION},
    BREAK("oversized-to-gate", OVERSIZED | TO_GATE),
    BREAK("oversized-to-appraiser", OVERSIZED | TO_APPRAISER),
    BREAK("oversized-to-keeper", OVERSIZED | TO_KEEPER),
    BREAK("truncated-to-gate", TRUNCATED | TO_GATE),
    BREAK("truncated-to-appraiser", TRUNCATED | TO_APPRAISER),
    BREAK("truncated-to-keeper", TRUNCATED | TO_KEEPER),
    BREAK("unknown-to-gate", UNKNOWN | TO_GATE),
    BREAK("unknown-to-appraiser", UNKNOWN | TO_APPRAISER),
    BREAK("unknown-to-keeper", UNKNOWN | TO_KEEPER),
    {0},
};

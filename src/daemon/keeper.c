/*
 * The keeper: holds the key-encryption keys and the store, decides, and hands out secrets. What it
 * reads are structs of fixed layout from processes that it does not believe: the appraisers' word
 * is a verdict, about a connection that the gate gave to them, once.
 */
#include "daemon/keeper.h"
#include "crypto/tls.h"
#include "daemon/confine.h"
#include "daemon/log.h"
#include "daemon/metrics.h"
#include "vault/seal.h"

#include <poll.h>
#include <string.h>
#include <time.h>

#define PING_SECONDS 5
#define PURGE_SECONDS 60
#define PURGE_LATEST 600 /* seconds: then not only in quiet moments */
#define PURGE_MOST 200
#define LATE_SECONDS 10 /* a connection is known for so much longer than it may last */
#define DAY_SECONDS 86400
#define POLLS_MAX (3 + 2 * CONFIG_WORKERS_MAX)

/* ---- waiting ---- */
static void add_poll(struct pollfd *list, struct channel **of, size_t *n, struct channel *c,
                     bool listens)
{
    if (c->fd < 0 || c->ended)
        return;
    short events = (short)((listens ? POLLIN : 0) | (channel_wants_write(c) ? POLLOUT : 0));
    of[*n] = c;
    list[(*n)++] = (struct pollfd){.fd = c->fd, .events = events};
}

static size_t list_channels(struct keeper *k, struct pollfd *list, struct channel **of)
{
    size_t n = 0;
    add_poll(list, of, &n, &k->control, true);
    add_poll(list, of, &n, &k->peers, true);
    add_poll(list, of, &n, &k->vault, true);
    for (size_t i = 0; i < k->pair_count; i++) {
        struct pair *p = &k->pairs[i];
        if (!p->holds)
            add_poll(list, of, &n, &p->decision, keeper_may_listen(p));
        add_poll(list, of, &n, &p->answer, true);
    }
    return n;
}

static bool holds_any(const struct keeper *k)
{
    for (size_t i = 0; i < k->pair_count; i++)
        if (k->pairs[i].holds)
            return true;
    return false;
}

static int patience(const struct keeper *k)
{
    uint64_t now = clock_now(), next = k->next_ping;
    uint64_t step = k->service.rewrap.state == REWRAP_RUNNING ? k->next_step : UINT64_MAX;
    if (k->more || now >= step)
        return 0;
    if (!k->store_down && k->next_purge < next)
        next = k->next_purge;
    if (step < next)
        next = step;
    if (holds_any(k) || now >= next)
        return 100;
    return (int)((next - now) / 1000000) + 1;
}

/* A peer that cannot be written to or read from any more has ended. */
static void exchange(struct channel *c)
{
    if (channel_flush(c, NULL) < 0 || channel_fill(c, NULL) < 0)
        c->ended = true;
}

/* Returns how many wires had something; negative errno. */
static int wait_and_fill(struct keeper *k, struct error *err)
{
    struct pollfd list[POLLS_MAX];
    struct channel *of[POLLS_MAX];
    size_t n = list_channels(k, list, of);
    int r = poll(list, n, patience(k));
    if (r < 0)
        return errno == EINTR ? 0 : error_errno(err, errno, "poll");
    for (size_t i = 0; i < n; i++)
        if (list[i].revents)
            exchange(of[i]);
    return r;
}

/* ---- quiet moments ---- */
static void ping(struct keeper *k)
{
    struct error err = {0};
    int r = k->store_down ? store_probe(k->store, &err) : store_ping(k->store, &err);
    keeper_store_state(k, r, &err);
    k->next_ping = clock_now() + SECONDS(PING_SECONDS);
}

static void purge(struct keeper *k)
{
    struct error err = {0};
    time_t before = time(NULL) - (time_t)k->config->evidence_days * DAY_SECONDS;
    int n = store_purge(k->store, before, PURGE_MOST, &err);
    keeper_store_state(k, n < 0 ? n : 0, &err);
    /* More of it is left: in the next quiet moment. */
    k->next_purge = clock_now() + (n >= PURGE_MOST ? 0 : SECONDS(PURGE_SECONDS));
}

static void do_quiet_work(struct keeper *k)
{
    uint64_t now = clock_now();
    if (now >= k->next_ping)
        ping(k);
    if (now >= k->next_purge && !k->store_down)
        purge(k);
}

/* ---- rewrapping ---- */
/* Under load, too; but half of the time the store is free for others, who may wait for it. */
static void rewrap(struct keeper *k)
{
    uint64_t began = clock_now();
    if (k->service.rewrap.state != REWRAP_RUNNING || (began < k->next_step && k->vault.fd >= 0))
        return;
    vault_service_step(&k->service);
    uint64_t now = clock_now();
    k->next_step = now + (now - began);
}

/* ---- the loop ---- */
static bool is_alone(const struct keeper *k)
{
    for (size_t i = 0; i < k->pair_count; i++)
        if (k->pairs[i].decision.fd >= 0 || k->pairs[i].answer.fd >= 0)
            return false;
    return k->vault.fd < 0;
}

static int serve(struct keeper *k, struct error *err)
{
    while (!is_alone(k)) {
        int ready = wait_and_fill(k, err);
        if (ready < 0)
            return ready;
        if (k->control.ended)
            return 0;
        int r = keeper_take(k, err);
        if (r < 0)
            return r;
        bool quiet = k->batch_count == 0;
        keeper_decide(k);
        keeper_flush(k);
        if (quiet || clock_now() >= k->next_purge + SECONDS(PURGE_LATEST))
            do_quiet_work(k);
        rewrap(k);
    }
    return 0;
}

/* ---- the process ---- */
static int open_keys(struct keeper *k, struct error *err)
{
    for (size_t i = 0; i < k->config->kek_count; i++) {
        int r = kek_open(&k->ring.keys[i], k->config->keks[i], err);
        if (r < 0)
            return error_prefix(err, r, "kek");
        k->ring.count++;
    }
    k->seals = seal_keys(&k->ring);
    return k->seals ? 0 : error_set(err, ENOMEM, "no locked memory for keys");
}

static int open_store(struct keeper *k, struct error *err)
{
    const struct store_options options = {.migrate = true,
                                          .password_file = k->config->store_password_file};
    int r = store_open(&k->store, k->config->store, &options, err);
    if (r < 0)
        return error_prefix(err, r, "store");
    k->room = allowance_of((uint64_t)k->config->evidence_megabytes << 20,
                           (uint64_t)k->config->evidence_days * DAY_SECONDS, clock_now());
    k->refusals =
        allowance_of((uint64_t)k->config->refusals_megabytes << 20, DAY_SECONDS, clock_now());
    k->decider = (struct decider){.store = k->store,
                                  .ring = &k->ring,
                                  .seals = k->seals,
                                  .broker = k->config->name,
                                  .keep = k->config->evidence_keep,
                                  .room = &k->room,
                                  .refusals = &k->refusals,
                                  .approval_seconds = k->config->approval_seconds};
    k->service = (struct vault_service){.store = k->store,
                                        .ring = &k->ring,
                                        .seals = k->seals,
                                        .broker = k->config->name,
                                        .admin = &k->vault,
                                        .gate = &k->peers};
    return 0;
}

static void open_wire(struct channel *c, const struct process *p, enum wire w, size_t i,
                      size_t frame_max)
{
    if (i < p->count[w])
        channel_init(c, p->fds[w][i]);
    c->frame_max = frame_max;
}

static int open_wires(struct keeper *k, const struct process *p, struct error *err)
{
    k->pair_count = p->count[WIRE_DECISION];
    k->pairs = calloc(k->pair_count ? k->pair_count : 1, sizeof(*k->pairs));
    k->batch = calloc(BATCH_CASES, sizeof(*k->batch));
    if (!k->pairs || !k->batch)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < k->pair_count; i++) {
        struct pair *pair = &k->pairs[i];
        pair->decision.fd = pair->answer.fd = -1;
        open_wire(&pair->decision, p, WIRE_DECISION, i,
                  sizeof(struct message_decision) + MESSAGE_FINDINGS_MAX + EVIDENCE_JSON_MAX);
        open_wire(&pair->answer, p, WIRE_ANSWER, i, 64);
    }
    open_wire(&k->control, p, WIRE_CONTROL, 0, 64);
    open_wire(&k->peers, p, WIRE_PEERS, 0, 1024);
    open_wire(&k->vault, p, WIRE_VAULT, 0, sizeof(struct message_user) + 16 + STORE_WRAPPED_MAX);
    return connections_init(&k->connections, k->config->max_connections,
                            k->config->request_seconds + LATE_SECONDS, err);
}

static void keeper_free(struct keeper *k)
{
    for (size_t i = 0; i < k->pair_count && k->pairs; i++) {
        decision_case_free(&k->pairs[i].held);
        channel_free(&k->pairs[i].decision);
        channel_free(&k->pairs[i].answer);
    }
    for (size_t i = 0; i < k->batch_count; i++)
        decision_case_free(&k->batch[i]);
    free(k->pairs);
    free(k->batch);
    channel_free(&k->control);
    channel_free(&k->peers);
    channel_free(&k->vault);
    connections_free(&k->connections);
    store_close(k->store);
    secret_free(k->seals);
    kek_ring_close(&k->ring);
}

int keeper_run(struct process *p, struct error *err)
{
    _cleanup_(keeper_free) struct keeper k = {
        .config = p->config, .control.fd = -1, .peers.fd = -1, .vault.fd = -1};
    int r = open_wires(&k, p, err);
    if (r == 0)
        r = open_keys(&k, err);
    if (r == 0)
        r = open_store(&k, err);
    if (r == 0)
        r = confine(ROLE_KEEPER, err);
    if (r == 0)
        ping(&k); /* whoever asks for the broker's health once it serves is told the truth */
    if (r == 0)
        r = channel_send(&k.control, MESSAGE_READY, 0, NULL, 0, err);
    return r < 0 ? r : serve(&k, err);
}

#include "agent/wait.h"

#include "agent/console.h"
#include "agent/interface.h"
#include "agent/release_client.h"
#include "agent/uevent.h"
#include "base/hex.h"
#include "crypto/tls.h"
#include "platform/platform.h"

#include <arpa/inet.h>
#include <string.h>

#define SETTLE ((uint64_t)20000000) /* events come in bursts */
#define LOOK_EVERY SECONDS(5)       /* even without an event */
#define REMIND_EVERY SECONDS(60)
#define REMIND_FIRST SECONDS(5)

int waiting_start(struct waiting *w, const struct agent_config *c, const struct ipconfig *ip,
                  uint64_t deadline, struct error *err)
{
    uint64_t now = clock_now();
    *w = (struct waiting){.config = c,
                          .deadline = deadline,
                          .events = uevent_open(err),
                          .look_at = now,
                          .dial_at = UINT64_MAX,
                          .remind_at = now + REMIND_FIRST};
    if (w->events < 0)
        return w->events;
    w->modules = module_loader_new(c);
    if (!w->modules)
        return error_errno(err, ENOMEM, "modules");
    module_loader_settle(w->modules);
    return network_open(&w->network, ip, err);
}

void waiting_end(struct waiting *w)
{
    dialer_close(w->dialer);
    listener_close(w->listener);
    network_close(w->network);
    module_loader_free(w->modules);
    if (w->events >= 0)
        close(w->events);
}

/* ---- connections ---- */
static void pass_authenticated(void *arg)
{
    attempt_authenticated(arg);
    say("%s: a broker with a pinned key; sending it evidence", attempt_peer(arg));
}

static int fetch(void *arg, int fd, struct attempt *attempt, struct secret **ret, struct error *err)
{
    const struct waiting *w = arg;
    struct release_client client = {
        .config = w->config, .authenticated = pass_authenticated, .arg = attempt};
    return release_fetch(&client, fd, ret, err);
}

static void failed(void *arg, const char *peer, const struct error *err, unsigned not_shown)
{
    (void)arg;
    say("%s: %s", peer, err->text);
    if (not_shown)
        say("(%u failed connections were not shown)", not_shown);
}

static int start_listening(struct waiting *w, struct error *err)
{
    struct listen_handler handler = {.fetch = fetch, .failed = failed, .arg = w};
    return listener_open(&w->listener, w->config->listen_port, &handler, err);
}

static void say_line(void *arg, const char *line)
{
    (void)arg;
    say("%s", line);
}

static bool has_address(const struct waiting *w)
{
    return network_address(w->network, 0) || network_address6(w->network, 0);
}

static int start_dialing(struct waiting *w, struct error *err)
{
    const struct agent_config *c = w->config;
    struct dial_handler handler = {.fetch = fetch, .say = say_line, .arg = w};
    int r = dialer_open(&w->dialer, c->brokers, c->broker_count, &handler, err);
    for (size_t i = 0; r == 0 && i < c->broker_count; i++)
        say("dialing broker %zu of %zu: %s port %u", i + 1, c->broker_count, c->brokers[i].host,
            c->brokers[i].port);
    w->dialed = network_generation(w->network);
    return r;
}

/* Each side as configured, as soon as it makes sense. */
static int start_connecting(struct waiting *w, struct error *err)
{
    int r = 0;
    if (!w->found || !w->attester)
        return 0;
    if (w->config->listen_port && !w->listener)
        r = start_listening(w, err);
    if (r == 0 && w->config->broker_count && !w->dialer && has_address(w))
        r = start_dialing(w, err);
    return r;
}

static void dial(struct waiting *w, uint64_t now)
{
    struct resolver resolver = {0};
    if (w->dialed != network_generation(w->network)) {
        w->dialed = network_generation(w->network);
        dialer_hurry(w->dialer, now);
    }
    for (size_t i = 0; i < RESOLVE_SERVERS_MAX; i++) {
        uint32_t address = network_dns(w->network, i);
        if (address)
            resolver.servers[resolver.count++] = (struct dns_server){address, DNS_PORT};
    }
    w->dial_at = dialer_work(w->dialer, &resolver, now);
}

/* ---- what is there ---- */
static void find_attester(struct waiting *w)
{
    for (const struct platform_attester *const *a = platform_attesters; *a && !w->attester; a++)
        if ((*a)->present()) {
            w->attester = (*a)->title;
            say("attestation by %s", w->attester);
        }
}

static int find_volume(struct waiting *w, struct error *err)
{
    int r = volume_find(w->config, &w->volume, err);
    if (r == -ENOENT)
        return 0;
    if (r == 0) {
        char uuid[UUID_TEXT_SIZE];
        uuid_format(w->config->volume_uuid, uuid);
        say("volume %s is on %s", uuid, w->volume.name);
        w->found = true;
    }
    return r;
}

/* Load what devices ask for, then see what they brought. */
static int look(struct waiting *w, uint64_t now, struct error *err)
{
    w->look_at = now + LOOK_EVERY;
    module_loader_settle(w->modules);
    network_scan(w->network, now);
    find_attester(w);
    return w->found ? 0 : find_volume(w, err);
}

/* ---- what is said ---- */
static void announce_at(const struct waiting *w, const char *address)
{
    char uuid[UUID_TEXT_SIZE];
    uuid_format(w->config->volume_uuid, uuid);
    say("listening on %s port %u (volume %s)", address, w->config->listen_port, uuid);
    say("  unlock with: encroot unlock -i %s -p %u -m RIM -f hash.json -k rootfs_key.bin", address,
        w->config->listen_port);
}

static void announce(struct waiting *w)
{
    if (!w->listener || w->announced == network_generation(w->network))
        return;
    w->announced = network_generation(w->network);
    char text[INET6_ADDRSTRLEN];
    uint32_t address;
    for (size_t i = 0; (address = network_address(w->network, i)); i++) {
        ipv4_format(address, text);
        announce_at(w, text);
    }
    const struct in6_addr *six;
    for (size_t i = 0; (six = network_address6(w->network, i)); i++)
        if (inet_ntop(AF_INET6, six, text, sizeof(text)))
            announce_at(w, text);
}

static void remind(struct waiting *w, uint64_t now)
{
    if (now < w->remind_at)
        return;
    w->remind_at = now + REMIND_EVERY;
    const char *missing = "a broker to answer or to connect";
    if (!w->config->broker_count)
        missing = "the broker to connect";
    else if (!w->config->listen_port)
        missing = "a broker to answer";
    if (!w->found)
        missing = "the disk with the volume's partition";
    else if (!w->attester)
        missing = "an attestation interface";
    else if (!has_address(w))
        missing = "a network address";
    uint64_t left = now < w->deadline ? (w->deadline - now) / SECONDS(1) : 0;
    say("waiting for %s; giving up in %llu s", missing, (unsigned long long)left);
}

/* ---- the loop ---- */
static int milliseconds_until(uint64_t when, uint64_t now)
{
    uint64_t ms = when > now ? (when - now) / 1000000 + 1 : 0;
    return ms > 60000 ? 60000 : (int)ms;
}

static void wait_for_events(struct waiting *w)
{
    struct pollfd fds[NETWORK_POLL_MAX + 5];
    uint64_t wake = w->look_at < w->remind_at ? w->look_at : w->remind_at;
    wake = w->dial_at < wake ? w->dial_at : wake;
    size_t n = network_poll(w->network, fds, &wake);
    fds[n++] = (struct pollfd){.fd = w->events, .events = POLLIN};
    if (w->listener) {
        fds[n++] = (struct pollfd){.fd = listener_fd(w->listener), .events = POLLIN};
        fds[n++] = (struct pollfd){.fd = listener_secret_fd(w->listener), .events = POLLIN};
    }
    if (w->dialer) {
        fds[n++] = (struct pollfd){.fd = dialer_event_fd(w->dialer), .events = POLLIN};
        fds[n++] = (struct pollfd){.fd = dialer_secret_fd(w->dialer), .events = POLLIN};
    }
    poll(fds, n, milliseconds_until(wake, clock_now()));
}

static int turn(struct waiting *w, struct secret **ret, struct error *err)
{
    uint64_t now = clock_now();
    int r = now >= w->look_at ? look(w, now, err) : 0;
    if (r < 0)
        return r;
    if (uevent_drain(w->events) && w->look_at > now + SETTLE)
        w->look_at = now + SETTLE;
    network_work(w->network, now);
    if ((r = start_connecting(w, err)) < 0)
        return r;
    announce(w);
    remind(w, now);
    if (w->listener) {
        listener_accept(w->listener);
        *ret = listener_take(w->listener);
    }
    if (w->dialer && !*ret) {
        dial(w, now);
        *ret = dialer_take(w->dialer);
    }
    return 0;
}

int wait_for_secret(struct waiting *w, struct secret **ret, struct error *err)
{
    struct secret *s = NULL;
    for (;;) {
        int r = turn(w, &s, err);
        if (r < 0)
            return r;
        if (s)
            break;
        wait_for_events(w);
    }
    *ret = s;
    return 0;
}

#include "agent/dial.h"

#include "agent/backoff.h"
#include "agent/connect.h"
#include "base/bytes.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>

#define MILLISECONDS(n) ((uint64_t)(n)*1000000)
#define STAGGER MILLISECONDS(DIAL_STAGGER_MS)
#define LEAD MILLISECONDS(DIAL_LEAD_MS)
#define FAMILIES 2
#define ATTEMPTS_MAX (AGENT_BROKERS_MAX * FAMILIES * (RESOLVE_ADDRESSES_MAX + 1))
#define FAILURES_SHOWN 5 /* of a broker in a row; then the same one only so often */
#define SAME_AGAIN SECONDS(60)
#define LINE_MAX_BYTES (ERROR_TEXT_MAX + ATTEMPT_PEER_MAX + 64)

/* How far an attempt came: of a round's failures the one that came furthest is told. */
enum progress { NOWHERE, NO_SUCH_ADDRESS, NOT_RESOLVED, NOT_CONNECTED, CONNECTED, AUTHENTICATED };

/* The addresses of one family, as they come. */
struct addresses {
    struct in6_addr list[RESOLVE_ADDRESSES_MAX];
    size_t count;
    size_t tried;
};

struct broker {
    struct broker_address at;
    uint64_t next; /* when there is something to do; UINT64_MAX: when an attempt ends */
    unsigned failures;
    /* the present round */
    bool calling;
    struct addresses known[FAMILIES]; /* IPv6, IPv4 */
    size_t family;                    /* whose turn it is */
    uint64_t stagger;                 /* when, unless all calls ended before */
    size_t running;                   /* attempts, of which */
    size_t calls;                     /* are calls, and not questions to DNS */
    enum progress reached;
    char why[ERROR_TEXT_MAX];
    /* what was said of it last */
    char said[ERROR_TEXT_MAX];
    uint64_t said_at;
};

/* What one attempt is for. */
struct job {
    struct broker *broker;
    size_t family;
    bool resolve;
    struct in6_addr address;
};

struct dialer {
    struct dial_handler handler;
    struct attempts *attempts;
    int changed;          /* eventfd: an attempt ended */
    pthread_mutex_t lock; /* of what follows; taken before that of the attempts */
    struct resolver resolver;
    struct broker brokers[AGENT_BROKERS_MAX];
    size_t count;
    struct job jobs[ATTEMPTS_MAX]; /* by attempt_index */
};

static const int families[FAMILIES] = {AF_INET6, AF_INET};

/* ---- in the attempts' threads ---- */
static int run_resolve(struct dialer *d, const struct job *job, struct error *err)
{
    struct in6_addr found[RESOLVE_ADDRESSES_MAX];
    size_t count = 0;
    pthread_mutex_lock(&d->lock);
    struct resolver resolver = d->resolver;
    pthread_mutex_unlock(&d->lock);
    int r = resolve(&resolver, job->broker->at.host, families[job->family],
                    attempts_stop_fd(d->attempts), found, &count, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&d->lock);
    struct addresses *known = &job->broker->known[job->family];
    memcpy(known->list, found, sizeof(found));
    known->count = count;
    pthread_mutex_unlock(&d->lock);
    return 0;
}

static int run_call(struct dialer *d, struct attempt *a, const struct job *job, struct secret **ret,
                    struct error *err)
{
    int fd = connect_to(&job->address, job->broker->at.port, attempts_stop_fd(d->attempts), err);
    if (fd < 0)
        return fd;
    int r = attempt_connected(a, fd);
    return r < 0 ? error_errno(err, -r, "connected")
                 : d->handler.fetch(d->handler.arg, fd, a, ret, err);
}

static int run(void *arg, struct attempt *a, struct secret **ret, struct error *err)
{
    struct dialer *d = arg;
    const struct job *job = &d->jobs[attempt_index(a)];
    return job->resolve ? run_resolve(d, job, err) : run_call(d, a, job, ret, err);
}

static enum progress progress_of(const struct job *job, const struct attempt *a, int r)
{
    if (job->resolve)
        return r == -ENOENT ? NO_SUCH_ADDRESS : NOT_RESOLVED;
    if (a->fd < 0)
        return NOT_CONNECTED;
    return attempt_is_authenticated(a) ? AUTHENTICATED : CONNECTED;
}

/* With the lock held. Where a name has several addresses, the line says which one it is about. */
static void keep_failure(const struct job *job, enum progress reached, const char *text)
{
    struct broker *b = job->broker;
    struct in6_addr literal;
    char address[ADDRESS_TEXT_MAX];
    if (reached < b->reached)
        return;
    b->reached = reached;
    address_format(&job->address, address);
    if (job->resolve || address_parse(b->at.host, &literal))
        snprintf(b->why, sizeof(b->why), "%s", text);
    else
        snprintf(b->why, sizeof(b->why), "%s: %.1900s", address, text);
}

static void ended(void *arg, const struct attempt *a, int r, const struct error *err)
{
    struct dialer *d = arg;
    const struct job *job = &d->jobs[attempt_index(a)];
    pthread_mutex_lock(&d->lock);
    job->broker->running--;
    job->broker->calls -= !job->resolve;
    if (r < 0)
        keep_failure(job, progress_of(job, a, r), err->text);
    pthread_mutex_unlock(&d->lock);
    uint64_t one = 1;
    ssize_t n = write(d->changed, &one, sizeof(one));
    (void)n; /* the counter cannot be full */
}

/* ---- open and close ---- */
int dialer_open(struct dialer **ret, const struct broker_address *brokers, size_t count,
                const struct dial_handler *handler, struct error *err)
{
    _close_ int changed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    _free_ struct dialer *d = changed < 0 ? NULL : calloc(1, sizeof(*d));
    if (!d)
        return error_errno(err, ENOMEM, "preparing to dial");
    if (count < 1 || count > AGENT_BROKERS_MAX)
        return error_set(err, EINVAL, "%zu brokers to dial, expected 1 to %d", count,
                         AGENT_BROKERS_MAX);
    struct attempts_handler threads = {.run = run, .ended = ended, .arg = d};
    int r = attempts_open(&d->attempts, ATTEMPTS_MAX, &threads, err);
    if (r < 0)
        return r;
    d->handler = *handler;
    d->changed = TAKE_FD(changed);
    d->count = count;
    pthread_mutex_init(&d->lock, NULL);
    for (size_t i = 0; i < count; i++)
        d->brokers[i].at = brokers[i];
    dialer_hurry(d, clock_now());
    *ret = TAKE_PTR(d);
    return 0;
}

void dialer_close(struct dialer *d)
{
    if (!d || !attempts_close(d->attempts))
        return;
    close(d->changed);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

int dialer_event_fd(const struct dialer *d)
{
    return d->changed;
}

int dialer_secret_fd(const struct dialer *d)
{
    return attempts_secret_fd(d->attempts);
}

struct secret *dialer_take(struct dialer *d)
{
    return attempts_take(d->attempts);
}

void dialer_hurry(struct dialer *d, uint64_t now)
{
    pthread_mutex_lock(&d->lock);
    for (size_t i = 0; i < d->count; i++) {
        d->brokers[i].failures = 0;
        if (!d->brokers[i].calling)
            d->brokers[i].next = now + i * STAGGER;
    }
    pthread_mutex_unlock(&d->lock);
}

/* ---- a round: all addresses of one broker. With the lock held ---- */
/* "broker 2 of 3 (b.example.org port 7221)" */
static void name_broker(const struct dialer *d, const struct broker *b, char *ret, size_t size)
{
    char at[BROKER_TEXT_MAX];
    broker_address_format(&b->at, at);
    snprintf(ret, size, "broker %zu of %zu (%s)", (size_t)(b - d->brokers) + 1, d->count, at);
}

static void start(struct dialer *d, const struct job *job)
{
    struct attempt *a = attempts_reserve(d->attempts, false);
    if (!a)
        return;
    name_broker(d, job->broker, a->peer, sizeof(a->peer));
    d->jobs[attempt_index(a)] = *job;
    if (attempt_start(a) < 0)
        return;
    job->broker->running++;
    job->broker->calls += !job->resolve;
}

static void begin_round(struct dialer *d, struct broker *b)
{
    struct in6_addr literal;
    memset(b->known, 0, sizeof(b->known));
    b->calling = true;
    b->family = 0;
    b->reached = NOWHERE;
    snprintf(b->why, sizeof(b->why), "cannot start a thread");
    if (address_parse(b->at.host, &literal)) {
        b->known[0] = (struct addresses){.list = {literal}, .count = 1};
        return;
    }
    for (size_t i = 0; i < FAMILIES; i++)
        start(d, &(struct job){.broker = b, .family = i, .resolve = true});
}

static bool has_address(const struct broker *b)
{
    return b->known[0].tried < b->known[0].count || b->known[1].tried < b->known[1].count;
}

/* Families take turns, so that many addresses of one do not keep the other out (RFC 8305, 4). */
static struct addresses *next_address(struct broker *b)
{
    struct addresses *known = &b->known[b->family];
    if (known->tried == known->count) {
        b->family = (b->family + 1) % FAMILIES;
        known = &b->known[b->family];
    }
    b->family = (b->family + 1) % FAMILIES;
    return known;
}

/* Call the next address, when it is due. */
static void continue_round(struct dialer *d, struct broker *b, uint64_t now)
{
    while (has_address(b) && (b->calls == 0 || now >= b->stagger)) {
        if (attempts_lead(d->attempts, now, LEAD)) {
            b->next = now + STAGGER;
            return;
        }
        struct addresses *known = next_address(b);
        start(d, &(struct job){.broker = b, .address = known->list[known->tried++]});
        b->stagger = now + STAGGER;
    }
    b->next = has_address(b) ? b->stagger : UINT64_MAX;
}

/* ---- what is said ---- */
static bool is_worth_saying(const struct broker *b, uint64_t now)
{
    return b->failures <= FAILURES_SHOWN || now - b->said_at >= SAME_AGAIN ||
           strcmp(b->why, b->said) != 0;
}

static void end_round(struct dialer *d, struct broker *b, uint64_t now, char line[LINE_MAX_BYTES])
{
    char name[ATTEMPT_PEER_MAX];
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
        random = (uint32_t)now * 4; /* not for security: any spread will do */
    uint64_t wait = backoff_wait(++b->failures, random);
    b->calling = false;
    b->next = now + wait;
    if (!is_worth_saying(b, now))
        return;
    name_broker(d, b, name, sizeof(name));
    snprintf(line, LINE_MAX_BYTES, "%s: %s; next try in %llu s", name, b->why,
             (unsigned long long)((wait + SECONDS(1) - 1) / SECONDS(1)));
    memcpy(b->said, b->why, sizeof(b->said));
    b->said_at = now;
}

/* ---- the loop ---- */
static void work(struct dialer *d, struct broker *b, uint64_t now, char line[LINE_MAX_BYTES])
{
    if (!b->calling && now >= b->next)
        begin_round(d, b);
    if (b->calling)
        continue_round(d, b, now);
    if (b->calling && b->running == 0 && !has_address(b))
        end_round(d, b, now, line);
}

uint64_t dialer_work(struct dialer *d, const struct resolver *r, uint64_t now)
{
    char line[LINE_MAX_BYTES];
    uint64_t wake = UINT64_MAX;
    uint64_t events;
    ssize_t n = read(d->changed, &events, sizeof(events));
    (void)n; /* none came: then this is for the time */
    for (size_t i = 0; i < d->count; i++) {
        struct broker *b = &d->brokers[i];
        line[0] = '\0';
        pthread_mutex_lock(&d->lock);
        d->resolver = *r;
        work(d, b, now, line);
        wake = b->next < wake ? b->next : wake;
        pthread_mutex_unlock(&d->lock);
        if (line[0]) /* the console may be slow: without the lock */
            d->handler.say(d->handler.arg, line);
    }
    return wake;
}

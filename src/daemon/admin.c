/* The administration process: its sockets, its wires, its end. */
#include "daemon/admin.h"
#include "base/hex.h"
#include "daemon/confine.h"
#include "daemon/log.h"

#include <event2/event.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>

#define STORE_PATIENCE 2000 /* milliseconds: while it waits, nobody else is served */

struct life {
    struct admin admin;
    struct event_base *base;
    struct event *control;
    struct admin_server *server;
    int result;
    struct error *err;
};

/* ---- memory of JSON: registrations and exports have a secret somewhere in it ---- */
static void free_wiped(void *p)
{
    if (p)
        wipe(p, malloc_usable_size(p));
    free(p);
}

/* ---- what the supervisor says ---- */
static void end(struct life *l, int r)
{
    l->result = r;
    event_base_loopbreak(l->base);
}

static void on_control(evutil_socket_t fd, short what, void *arg)
{
    struct life *l = arg;
    struct channel *control = &l->admin.control;
    struct frame f;
    int r = channel_fill(control, l->err);
    while (r == 0 && (r = channel_next(control, &f, l->err)) == 1) {
        r = 0;
        if (f.type != MESSAGE_DRAIN)
            continue;
        admin_server_drain(l->server);
        r = channel_send(control, MESSAGE_CLOSED, 0, NULL, 0, l->err);
    }
    if (r < 0)
        end(l, r);
    else if (control->ended)
        end(l, error_set(l->err, ECONNRESET, "the supervisor has ended"));
}

/* ---- set up ---- */
/* The log says how to let a client in; not more often than once a second, whoever knocks. */
static void tell_unknown(const uint8_t pin[32])
{
    static time_t last;
    char hex[65];
    time_t now = time(NULL);
    if (now == last)
        return;
    last = now;
    hex_encode(BYTES(pin, 32), hex);
    log_line(LOG_NOTICE,
             "administration: refused a client whose certificate is not known "
             "(admin-client = reader sha256:%s NAME would let it read)",
             hex);
}

static bool is_known(void *arg, const uint8_t pin[32])
{
    struct admin_user u;
    bool known = admin_peer_of_pin(arg, pin, &u);
    if (!known)
        tell_unknown(pin);
    return known;
}

static int open_admin(struct admin *a, struct process *p, struct error *err)
{
    const struct daemon_config *c = p->config;
    /* Whoever comes first makes the schema. */
    const struct store_options options = {
        .migrate = true, .patience = STORE_PATIENCE, .password_file = c->store_password_file};
    a->config = c;
    channel_init(&a->control, p->fds[WIRE_CONTROL][0]);
    channel_init(&a->vault, p->fds[WIRE_VAULT][0]);
    a->clients = (struct tls_clients){.known = is_known, .arg = (void *)(uintptr_t)c};
    int r = admin_groups_find(&a->groups, c, err);
    if (r == 0 && p->count[WIRE_ADMIN_TLS] > 0)
        r = tls_mutual_context(&a->tls, c->admin_key, c->admin_certificate, &a->clients, err);
    return r < 0 ? r : store_open(&a->store, c->store, &options, err);
}

static void close_admin(struct admin *a)
{
    store_close(a->store);
    SSL_CTX_free(a->tls);
    admin_groups_free(&a->groups);
    secret_free(a->seals);
    channel_free(&a->vault);
    channel_free(&a->control);
}

static int open_server(struct life *l, struct process *p)
{
    l->base = event_base_new();
    if (!l->base)
        return error_set(l->err, ENOMEM, "out of memory");
    l->control = event_new(l->base, l->admin.control.fd, EV_READ | EV_PERSIST, on_control, l);
    if (!l->control || event_add(l->control, NULL) < 0)
        return error_set(l->err, ENOMEM, "out of memory");
    int r = admin_server_start(&l->server, &l->admin, l->base, l->err);
    for (size_t i = 0; r == 0 && i < p->count[WIRE_ADMIN_UNIX]; i++)
        r = admin_server_listen(l->server, p->fds[WIRE_ADMIN_UNIX][i], false, l->err);
    for (size_t i = 0; r == 0 && i < p->count[WIRE_ADMIN_TLS]; i++)
        r = admin_server_listen(l->server, p->fds[WIRE_ADMIN_TLS][i], true, l->err);
    return r;
}

static int serve(struct life *l)
{
    int r = confine(ROLE_ADMIN, l->err);
    if (r == 0)
        r = admin_vault_get_seals(&l->admin, l->err);
    if (r == 0)
        r = channel_send(&l->admin.control, MESSAGE_READY, 0, NULL, 0, l->err);
    if (r == 0 && event_base_dispatch(l->base) < 0)
        r = error_set(l->err, EIO, "the event loop failed");
    return r < 0 ? r : l->result;
}

int admin_run(struct process *p, struct error *err)
{
    struct life l = {.err = err};
    signal(SIGPIPE, SIG_IGN);
    json_set_alloc_funcs(malloc, free_wiped);
    int r = open_admin(&l.admin, p, err);
    if (r == 0)
        r = open_server(&l, p);
    if (r == 0)
        r = serve(&l);
    admin_server_free(l.server);
    if (l.control)
        event_free(l.control);
    if (l.base)
        event_base_free(l.base);
    close_admin(&l.admin);
    return r;
}

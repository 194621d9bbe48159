/*
 * Inside of the administration process (ARCHITECTURE.md, "Broker"; encrootd-admin(7)):
 *
 *   admin.c        the process: sockets, wires, drain
 *   admin_http.c   one connection: bounded, one request, one answer
 *   admin_peer.c   who is it, and what may it
 *   admin_routes.c the table of what can be asked
 *   admin_*.c      one file an area of handlers
 *
 * It holds the keys that seal what it changes (daemon/seals.h), and none that wraps. Volume secrets
 * pass through it at registration and export only, wrapped and unwrapped by the keeper.
 */
#ifndef ENCROOT_DAEMON_ADMIN_H
#define ENCROOT_DAEMON_ADMIN_H

#include "base/json.h"
#include "base/secret.h"
#include "crypto/tls_mutual.h"
#include "daemon/change.h"
#include "daemon/messages.h"
#include "daemon/process.h"
#include "protocol/http.h"
#include "store/store.h"

#include <grp.h>

#define ADMIN_BODY_SMALL ((size_t)64 << 10)
/* A policy, or a volume with its policy and reference values. */
#define ADMIN_BODY_LARGE (STORE_POLICY_MAX + ADMIN_BODY_SMALL)
#define ADMIN_LIST_MAX 1000 /* entries of one answer; what is behind is asked for by `after` */

struct admin_user {
    enum admin_role role;
    char name[CHANGE_USER_MAX]; /* for logs and records: "alice (uid 1000)" */
};

/* Whoever may use the UNIX socket; resolved before the process is confined. */
struct admin_groups {
    bool has_admin, has_reader;
    gid_t admin, reader;
    FILE *names; /* /etc/passwd; NULL: users are numbers */
};

struct admin {
    const struct daemon_config *config;
    struct store *store;
    struct channel control, vault;
    struct secret *seals; /* the keeper's seal_keys */
    unsigned vault_owed;  /* answers of the keeper that came too late for their request */
    struct admin_groups groups;
    struct tls_clients clients;
    SSL_CTX *tls; /* NULL: the UNIX socket only */
};

/* ---- admin_peer.c ---- */
int admin_groups_find(struct admin_groups *ret, const struct daemon_config *c,
                      struct error *err) _must_use_;
void admin_groups_free(struct admin_groups *g);
/* Of the peer of a UNIX socket (SO_PEERCRED, SO_PEERGROUPS); ADMIN_NONE: may nothing. */
int admin_peer_of_socket(const struct admin_groups *g, int fd, struct admin_user *ret,
                         struct error *err) _must_use_;
/* `admin-client` of this pin; false: none. */
bool admin_peer_of_pin(const struct daemon_config *c, const uint8_t pin[32],
                       struct admin_user *ret);
const char *admin_role_name(enum admin_role role);

/* ---- calls ---- */
#define ADMIN_WORDS_MAX 2 /* parts of a path that are not fixed */
#define ADMIN_QUERY_MAX 8

struct admin_reply {
    int status;
    const char *type;   /* static; NULL: no body */
    struct buffer body; /* may hold a secret: wiped */
};
void admin_reply_free(struct admin_reply *r);

struct admin_call;
struct admin_route {
    const char *method;
    const char *pattern; /* like "/v1/volumes/?": a question mark stands for one part of the path */
    enum admin_role role;
    size_t body_max;          /* 0: no body */
    const char *const *query; /* names of parameters, NULL-terminated; NULL: none */
    /* 0 with a reply, or a negative errno that admin_fail turns into one. */
    int (*handle)(struct admin_call *c, struct error *err);
};

struct admin_call {
    struct admin *admin;
    const struct admin_user *user;
    const struct admin_route *route;
    char path[256]; /* taken apart: the members below point into it */
    const char *words[ADMIN_WORDS_MAX];
    struct {
        const char *key, *value;
    } query[ADMIN_QUERY_MAX];
    size_t query_count;
    json_t *body;         /* an object; NULL where the route has no body */
    struct change change; /* what was done, for the audit */
    struct admin_reply reply;
};

/* What matters of a request's head besides its line. */
struct admin_origin {
    bool encrypted;                     /* mutual TLS */
    const char *host, *origin, *marker; /* "" if absent; marker: X-Encroot-Admin */
};

/* ---- admin_routes.c ---- */
/*
 * May this user ask this, in this way? Fills in `c` but for the body; negative errno otherwise:
 * -ENOENT, -ENOTSUP (405), -EACCES, -EMEDIUMTYPE (415), -EFBIG, -EINVAL.
 */
int admin_route(struct admin_call *c, const struct http_request *head, const struct admin_origin *o,
                struct error *err) _must_use_;
/* Do it: c->reply is filled in in any case. `body` is the whole of it. */
void admin_handle(struct admin_call *c, struct bytes body);
/* {"error", "hint"} and the status of an errno. */
void admin_fail(struct admin_reply *reply, int r, const struct error *err);
void admin_call_free(struct admin_call *c);

/* ---- for handlers: admin_call.c ---- */
/* Takes `j` over (NULL: out of memory). Status 200, 201. */
int admin_reply_json(struct admin_call *c, int status, json_t *j, struct error *err) _must_use_;
/* The same, 200, of what a transaction left in `j`, which is nothing if it failed (`r`). */
int admin_reply_result(struct admin_call *c, int r, json_t *j, struct error *err) _must_use_;
/* One transaction around `work`, which sees all of one time and changes nothing. */
int admin_look(struct admin_call *c,
               int (*work)(struct admin_call *c, void *arg, struct error *err), void *arg,
               struct error *err) _must_use_;
/*
 * One transaction around `work`, which says by change_note(&c->change, ...) what it did: that, and
 * its record in the audit, or nothing. The log has it once it is durable.
 */
int admin_change(struct admin_call *c,
                 int (*work)(struct admin_call *c, void *arg, struct error *err), void *arg,
                 struct error *err) _must_use_;
/* NULL: not there. */
const char *admin_query(const struct admin_call *c, const char *key);
int admin_query_uint(const struct admin_call *c, const char *key, uint64_t fallback, uint64_t max,
                     uint64_t *ret, struct error *err) _must_use_;
int admin_query_flag(const struct admin_call *c, const char *key, bool *ret,
                     struct error *err) _must_use_;
/* What the store has; -EIO if it is no JSON: no request is to blame for that. */
int admin_parse_stored(json_t **ret, struct bytes text, const char *name,
                       struct error *err) _must_use_;
/* "2026-01-02T03:04:05Z"; null for 0. */
json_t *admin_time(time_t t);
int admin_parse_time(const char *text, const char *key, time_t *ret, struct error *err) _must_use_;
json_t *admin_uuid(const uint8_t uuid[16]);
/* One volume by a part of the path, which is a uuid or a name; the error says which. */
int admin_find_volume(struct admin_call *c, const char *ref, struct store_volume *ret,
                      struct error *err) _must_use_;

/* ---- admin_volume_json.c ---- */
/* VOLUME, with the heads of its reference values. */
int admin_volume_json(struct admin_call *c, const struct store_volume *v, json_t **ret,
                      struct error *err) _must_use_;
/* Members name, enabled, approval, rate, not_before, not_after, as far as they are there. */
int admin_read_settings(json_t *j, struct store_volume *v, struct error *err) _must_use_;
/* The same members, all of them. */
int admin_put_settings(json_t *j, const struct store_volume *v) _must_use_;

/* ---- admin_volume.c ---- */
/* A volume, and what its effective policy is made of; all of it in memory, so that what is checked
 * is what is used. */
struct admin_volume {
    struct store_volume volume;
    struct buffer policy; /* the owner's */
    struct buffer effective;
    struct store_values *values; /* in order of version */
    size_t count;
};
void admin_volume_free(struct admin_volume *a);
#define _admin_volume_ _cleanup_(admin_volume_free)

/* The one of the path, as the store has it: inside a transaction. */
int admin_volume_load(struct admin_call *c, struct admin_volume *a, struct error *err) _must_use_;
/* Is all of it as an administrator left it? -EBADMSG; -ENOKEY: nobody can say. */
int admin_volume_check(struct admin_call *c, const struct admin_volume *a,
                       struct error *err) _must_use_;
/* Both: for whoever makes something of it. What was changed past the broker must not be sealed by a
 * change of something else. */
int admin_volume_open(struct admin_call *c, struct admin_volume *a, struct error *err) _must_use_;
/* At the end; `v` is taken over, and empty then. */
int admin_volume_add_values(struct admin_volume *a, struct store_values *v,
                            struct error *err) _must_use_;
/* Makes the effective policy of the policy and the values, the digests and the seal. */
int admin_volume_seal(struct admin_call *c, struct admin_volume *a, struct error *err) _must_use_;
/* The same, and keeps what was made, and the owner's policy: a new revision. */
int admin_volume_save(struct admin_call *c, struct admin_volume *a, struct error *err) _must_use_;

/* ---- admin_values.c ---- */
/* {"label", "text"}: `label` may be absent; the text must be reference values. */
int admin_read_values(json_t *j, const char *where, struct store_values *ret,
                      struct error *err) _must_use_;

/* ---- admin_vault.c ---- */
/* a->seals, once, before the first call is served. */
int admin_vault_get_seals(struct admin *a, struct error *err) _must_use_;
int admin_vault_wrap(struct admin *a, const uint8_t volume[16], const struct secret *s,
                     struct buffer *ret, struct error *err) _must_use_;
/* Which is recorded as an export by this user before the secret is given out. */
int admin_vault_unwrap(struct admin_call *c, const uint8_t volume[16], struct bytes wrapped,
                       struct secret **ret, struct error *err) _must_use_;

/* ---- handlers ---- */
int admin_get_status(struct admin_call *c, struct error *err);
int admin_list_volumes(struct admin_call *c, struct error *err);
int admin_get_volume(struct admin_call *c, struct error *err);
int admin_change_volume(struct admin_call *c, struct error *err);
int admin_remove_volume(struct admin_call *c, struct error *err);
int admin_seal_volume(struct admin_call *c, struct error *err);
int admin_add_volume(struct admin_call *c, struct error *err);
int admin_export_volume(struct admin_call *c, struct error *err);
int admin_get_policy(struct admin_call *c, struct error *err);
int admin_set_policy(struct admin_call *c, struct error *err);
int admin_add_values(struct admin_call *c, struct error *err);
int admin_get_values(struct admin_call *c, struct error *err);
int admin_change_values(struct admin_call *c, struct error *err);
int admin_list_requests(struct admin_call *c, struct error *err);
int admin_approve_request(struct admin_call *c, struct error *err);
int admin_deny_request(struct admin_call *c, struct error *err);
int admin_list_audit(struct admin_call *c, struct error *err);
int admin_get_record(struct admin_call *c, struct error *err);
int admin_get_checkpoint(struct admin_call *c, struct error *err);
int admin_rewrap(struct admin_call *c, struct error *err);
int admin_get_rewrap(struct admin_call *c, struct error *err);
int admin_get_page(struct admin_call *c, struct error *err);
int admin_get_script(struct admin_call *c, struct error *err);
int admin_get_style(struct admin_call *c, struct error *err);
int admin_get_icon(struct admin_call *c, struct error *err);

/* ---- admin_http.c ---- */
struct admin_server;
/* Listens on `count` sockets; `encrypted`: with a->tls. At most so many connections at once wait
 * for their turn in the kernel. */
int admin_server_start(struct admin_server **ret, struct admin *a, void *event_base,
                       struct error *err) _must_use_;
int admin_server_listen(struct admin_server *s, int fd, bool encrypted,
                        struct error *err) _must_use_;
/* Accepts no more; the loop ends with the last connection. */
void admin_server_drain(struct admin_server *s);
void admin_server_free(struct admin_server *s);

#endif

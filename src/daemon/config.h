/*
 * encrootd.conf: lines of `key = value`, `#` begins a comment, as encrootd.conf(5) documents them.
 * One const table in config.c has every key, its kind, default and bounds. Unknown keys, a key
 * twice that may be there once, and values out of bounds are errors with the line's number. Paths
 * are relative to the file's folder.
 */
#ifndef ENCROOT_DAEMON_CONFIG_H
#define ENCROOT_DAEMON_CONFIG_H

#include "base/bytes.h"
#include "base/error.h"

#define CONFIG_LISTEN_MAX 8
#define CONFIG_CLIENTS_MAX 32
#define CONFIG_KEKS_MAX 8
#define CONFIG_WORKERS_MAX 64

enum evidence_keep { EVIDENCE_KEEP_REFUSED, EVIDENCE_KEEP_ALL, EVIDENCE_KEEP_NONE };
enum admin_role { ADMIN_NONE, ADMIN_READER, ADMIN_ADMIN };

struct config_address {
    char host[256]; /* an address; "" only if unused */
    uint16_t port;
};

struct config_client { /* `admin-client = admin|reader sha256:<64 hex> NAME` */
    enum admin_role role;
    uint8_t pin[32]; /* SHA-256 of the client certificate's SPKI */
    char name[64];
};

struct daemon_config {
    char *name; /* of this broker, in the audit; default: the host's */
    /* release service */
    struct config_address listen[CONFIG_LISTEN_MAX]; /* `listen`; default [::]:7221 */
    size_t listen_count;
    char *key, *certificate;  /* `key`, `certificate`: PEM, ECDSA; default broker.key, broker.crt */
    unsigned workers;         /* pairs of front and appraiser; default: processors, at most 8 */
    unsigned max_connections; /* in all; default 16384 */
    unsigned request_seconds; /* from accept to answer; default 60 */
    unsigned handshake_seconds; /* default 10 */
    /* store and vault */
    char *store;                 /* default sqlite:broker.db */
    char *store_password_file;   /* NULL: none */
    char *keks[CONFIG_KEKS_MAX]; /* `kek`, then each `kek-old`; default file:vault.kek */
    size_t kek_count;
    enum evidence_keep evidence_keep; /* `evidence-keep = refused|all|none` */
    unsigned evidence_days;           /* default 30 */
    unsigned evidence_megabytes;      /* of about so much in these days; default 1024 */
    unsigned refusals_megabytes;      /* of records of refused evidence, a day; default 256 */
    unsigned approval_seconds;        /* how long an approval or denial holds; default 600 */
    /* administration */
    char *admin_socket;               /* default admin.sock */
    char *admin_group, *reader_group; /* of the socket's peers; root and the broker's own user are
                                         admins; NULL: nobody else */
    struct config_address admin_listen[CONFIG_LISTEN_MAX]; /* mutual TLS; default: none */
    size_t admin_listen_count;
    char *admin_key, *admin_certificate; /* PEM; default admin.key, admin.pem */
    struct config_client clients[CONFIG_CLIENTS_MAX];
    size_t client_count;
    /* monitoring: GET /healthz, GET /metrics */
    struct config_address monitor_listen[CONFIG_LISTEN_MAX]; /* default 127.0.0.1:7222 */
    size_t monitor_listen_count;
    /* `log = text|json`; `log-level = error|warning|info|debug` */
    bool log_json;
    int log_level; /* as syslog(3) numbers them */
};

/* `name` is used in errors; `folder`: where relative paths begin. */
int config_parse(struct daemon_config *ret, struct bytes text, const char *name, const char *folder,
                 struct error *err) _must_use_;
/*
 * Of a text that config_parse accepts, what processes may know that use neither store nor vault: a
 * copy without comments and without the keys in whose values people write passwords; its lines keep
 * their numbers.
 */
int config_public_text(struct bytes text, struct buffer *ret, struct error *err) _must_use_;
void config_free(struct daemon_config *c);

#endif

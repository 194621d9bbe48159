#include "daemon/config_key.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define LINE_MAX_SIZE 4096
#define AT(member) offsetof(struct daemon_config, member)

static const struct config_word keeps[] = {{"refused", EVIDENCE_KEEP_REFUSED},
                                           {"all", EVIDENCE_KEEP_ALL},
                                           {"none", EVIDENCE_KEEP_NONE},
                                           {0}};
static const struct config_word logs[] = {{"text", false}, {"json", true}, {0}};
static const struct config_word levels[] = {
    {"error", LOG_ERR}, {"warning", LOG_WARNING}, {"info", LOG_INFO}, {"debug", LOG_DEBUG}, {0}};

/* All keys, as encrootd.conf(5) documents them. */
static const struct config_key keys[] = {
    {"name", config_set_name, AT(name)},
    {"listen", config_set_address, AT(listen), .at_count = AT(listen_count), .many = true,
     .preset = "[::]:7221"},
    {"key", config_set_path, AT(key), .preset = "broker.key"},
    {"certificate", config_set_path, AT(certificate), .preset = "broker.crt"},
    {"workers", config_set_number, AT(workers), .min = 1, .max = CONFIG_WORKERS_MAX},
    {"max-connections", config_set_number, AT(max_connections), .min = 1, .max = 1 << 20,
     .preset = "16384"},
    {"request-seconds", config_set_number, AT(request_seconds), .min = 1, .max = 3600,
     .preset = "60"},
    {"handshake-seconds", config_set_number, AT(handshake_seconds), .min = 1, .max = 3600},
    {"store", config_set_store, AT(store), .guarded = true, .preset = "sqlite:broker.db"},
    {"store-password-file", config_set_path, AT(store_password_file)},
    {"kek", config_set_kek, AT(keks), .guarded = true, .preset = "file:vault.kek"},
    {"kek-old", config_set_kek_old, AT(keks), .many = true, .guarded = true},
    {"evidence-keep", config_set_word, AT(evidence_keep), .words = keeps, .preset = "refused"},
    {"evidence-days", config_set_number, AT(evidence_days), .min = 1, .max = 3650, .preset = "30"},
    {"evidence-megabytes", config_set_number, AT(evidence_megabytes), .min = 16, .max = 1 << 20,
     .preset = "1024"},
    {"refusals-megabytes", config_set_number, AT(refusals_megabytes), .min = 1, .max = 1 << 20,
     .preset = "256"},
    {"approval-seconds", config_set_number, AT(approval_seconds), .min = 1, .max = 30 * 86400,
     .preset = "600"},
    {"admin-socket", config_set_socket, AT(admin_socket), .preset = "admin.sock"},
    {"admin-group", config_set_group, AT(admin_group)},
    {"reader-group", config_set_group, AT(reader_group)},
    {"admin-listen", config_set_address, AT(admin_listen), .at_count = AT(admin_listen_count),
     .many = true},
    {"admin-key", config_set_path, AT(admin_key), .preset = "admin.key"},
    {"admin-certificate", config_set_path, AT(admin_certificate), .preset = "admin.pem"},
    {"admin-client", config_set_client, AT(clients), .at_count = AT(client_count), .many = true},
    {"monitor-listen", config_set_address, AT(monitor_listen), .at_count = AT(monitor_listen_count),
     .many = true, .preset = "127.0.0.1:7222"},
    {"log", config_set_flag, AT(log_json), .words = logs, .preset = "text"},
    {"log-level", config_set_word, AT(log_level), .words = levels, .preset = "info"},
};

/* ---- one line ---- */
static const struct config_key *find_key(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

static int unknown_key(const char *name, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (looks_like(name, keys[i].name))
            return error_set(err, EINVAL, "unknown key \"%s\"; did you mean \"%s\"?", name,
                             keys[i].name);
    return error_hint(err, error_set(err, EINVAL, "unknown key \"%.100s\"", name),
                      "man 5 encrootd.conf lists all keys");
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static char *trim(char *text)
{
    while (is_space(*text))
        text++;
    for (size_t n = strlen(text); n && is_space(text[n - 1]);)
        text[--n] = '\0';
    return text;
}

/* A comment begins a line, or follows white space: file names and URLs may have a "#" inside. */
static void drop_comment(char *line)
{
    for (char *p = line; *p; p++) {
        if (*p == '#' && (p == line || is_space(p[-1]))) {
            *p = '\0';
            return;
        }
    }
}

static int take_line(struct daemon_config *c, const char *folder, char *line, unsigned number,
                     unsigned *seen, struct error *err)
{
    drop_comment(line);
    line = trim(line);
    if (!*line)
        return 0;
    char *equals = strchr(line, '=');
    if (!equals)
        return error_set(err, EINVAL, "expected \"key = value\", found \"%.100s\"", line);
    *equals = '\0';
    const char *name = trim(line), *value = trim(equals + 1);
    const struct config_key *k = find_key(name);
    if (!k)
        return unknown_key(name, err);
    if (seen[k - keys] && !k->many)
        return error_set(err, EINVAL, "\"%s\" is there twice, first in line %u", name,
                         seen[k - keys]);
    if (!*value)
        return error_set(err, EINVAL, "\"%s\" has no value", name);
    seen[k - keys] = number;
    int r = k->set(c, k, folder, value, err);
    return r < 0 ? error_prefix(err, r, "%s", name) : 0;
}

/* ---- the whole ---- */
static int copy_line(struct bytes line, char text[LINE_MAX_SIZE], struct error *err)
{
    if (line.size && line.data[line.size - 1] == '\r')
        line.size--;
    if (line.size >= LINE_MAX_SIZE)
        return error_set(err, EINVAL, "the line is %zu bytes long, at most %d are allowed",
                         line.size, LINE_MAX_SIZE - 1);
    for (size_t i = 0; i < line.size; i++)
        if ((line.data[i] < 0x20 && line.data[i] != '\t') || line.data[i] == 0x7f)
            return error_set(err, EINVAL, "byte %zu is a control character", i + 1);
    if (line.size)
        memcpy(text, line.data, line.size);
    text[line.size] = '\0';
    return 0;
}

static struct bytes line_at(struct bytes text, size_t at)
{
    const uint8_t *from = text.data + at, *end = memchr(from, '\n', text.size - at);
    return BYTES(from, end ? (size_t)(end - from) : text.size - at);
}

static int take_lines(struct daemon_config *c, struct bytes text, const char *folder,
                      unsigned *seen, unsigned *number, struct error *err)
{
    char line[LINE_MAX_SIZE];
    int r = 0;
    for (size_t at = 0; r == 0 && at < text.size; ++*number) {
        struct bytes found = line_at(text, at);
        r = copy_line(found, line, err);
        if (r == 0)
            r = take_line(c, folder, line, *number, seen, err);
        if (r < 0)
            break;
        at += found.size + 1;
    }
    return r;
}

static bool is_public(const char *line)
{
    char name[64];
    size_t n = strcspn(line, " \t=");
    if (n >= sizeof(name))
        return false;
    memcpy(name, line, n);
    name[n] = '\0';
    const struct config_key *k = find_key(name);
    return k && !k->guarded;
}

int config_public_text(struct bytes text, struct buffer *ret, struct error *err)
{
    char copy[LINE_MAX_SIZE];
    int r = 0;
    for (size_t at = 0; r == 0 && at < text.size;) {
        struct bytes found = line_at(text, at);
        r = copy_line(found, copy, err);
        if (r < 0)
            return r;
        drop_comment(copy);
        const char *line = trim(copy);
        r = buffer_printf(ret, "%s\n", is_public(line) ? line : "");
        at += found.size + 1;
    }
    return r < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

static int preset(struct daemon_config *c, const char *folder, const unsigned *seen,
                  struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        if (seen[i] || !keys[i].preset)
            continue;
        int r = keys[i].set(c, &keys[i], folder, keys[i].preset, err);
        if (r < 0)
            return error_prefix(err, r, "%s, by default", keys[i].name);
    }
    char host[HOST_NAME_MAX + 1] = "";
    if (!c->name && (gethostname(host, sizeof(host)) < 0 || !host[0]))
        return error_set(err, EINVAL, "this host has no name: set \"name\"");
    if (!c->name && !(c->name = strdup(host)))
        return error_set(err, ENOMEM, "out of memory");
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (!c->workers)
        c->workers = processors < 1 ? 1 : processors > 8 ? 8 : (unsigned)processors;
    if (!c->handshake_seconds)
        c->handshake_seconds = c->request_seconds < 10 ? c->request_seconds : 10;
    return 0;
}

/* What only several keys together show. */
static int agree(const struct daemon_config *c, struct error *err)
{
    if (c->handshake_seconds > c->request_seconds)
        return error_set(err, EINVAL, "handshake-seconds (%u) must not exceed request-seconds (%u)",
                         c->handshake_seconds, c->request_seconds);
    if (c->admin_listen_count && !c->client_count)
        return error_hint(err, error_set(err, EINVAL, "admin-listen without any admin-client"),
                          "nobody could use it: name a client by its key, \"admin-client = "
                          "admin sha256:... NAME\"");
    if (c->max_connections < c->workers)
        return error_set(err, EINVAL, "max-connections (%u) must not be below workers (%u)",
                         c->max_connections, c->workers);
    return 0;
}

int config_parse(struct daemon_config *ret, struct bytes text, const char *name, const char *folder,
                 struct error *err)
{
    struct daemon_config c = {.kek_count = 1};
    unsigned seen[ARRAY_SIZE(keys)] = {0}, number = 1;
    int r = take_lines(&c, text, folder, seen, &number, err);
    if (r < 0)
        error_prefix(err, r, "line %u", number);
    else
        r = preset(&c, folder, seen, err);
    if (r == 0)
        r = agree(&c, err);
    if (r < 0) {
        error_prefix(err, r, "%s", name);
        config_free(&c);
        return r;
    }
    *ret = c;
    return 0;
}

void config_free(struct daemon_config *c)
{
    char **owned[] = {
        &c->name,         &c->key,         &c->certificate,  &c->store,     &c->store_password_file,
        &c->admin_socket, &c->admin_group, &c->reader_group, &c->admin_key, &c->admin_certificate};
    for (size_t i = 0; i < ARRAY_SIZE(owned); i++)
        free(*owned[i]);
    for (size_t i = 0; i < CONFIG_KEKS_MAX; i++)
        free(c->keks[i]);
    *c = (struct daemon_config){0};
}

/* What can be asked of the administration, and by whom; everything else is refused before a byte of
 * a body is read. */
#include "daemon/admin.h"
#include "daemon/log.h"

#include <string.h>

static const char *const volumes_query[] = {"after", "limit", NULL};
static const char *const export_query[] = {"secret", NULL};
static const char *const requests_query[] = {"all", NULL};
static const char *const audit_query[] = {"after", "limit", "newest", "volume", "columns", NULL};

#define SMALL ADMIN_BODY_SMALL
#define LARGE ADMIN_BODY_LARGE

/* The first that fits counts. */
static const struct admin_route routes[] = {
    {"GET", "/", ADMIN_READER, 0, NULL, admin_get_page},
    {"GET", "/status.js", ADMIN_READER, 0, NULL, admin_get_script},
    {"GET", "/status.css", ADMIN_READER, 0, NULL, admin_get_style},
    {"GET", "/icon.svg", ADMIN_READER, 0, NULL, admin_get_icon},
    {"GET", "/v1/status", ADMIN_READER, 0, NULL, admin_get_status},
    {"GET", "/v1/volumes", ADMIN_READER, 0, volumes_query, admin_list_volumes},
    {"POST", "/v1/volumes", ADMIN_ADMIN, LARGE, NULL, admin_add_volume},
    {"GET", "/v1/volumes/?", ADMIN_READER, 0, NULL, admin_get_volume},
    {"PATCH", "/v1/volumes/?", ADMIN_ADMIN, SMALL, NULL, admin_change_volume},
    {"DELETE", "/v1/volumes/?", ADMIN_ADMIN, 0, NULL, admin_remove_volume},
    {"POST", "/v1/volumes/?/seal", ADMIN_ADMIN, SMALL, NULL, admin_seal_volume},
    {"GET", "/v1/volumes/?/export", ADMIN_READER, 0, export_query, admin_export_volume},
    {"GET", "/v1/volumes/?/policy", ADMIN_READER, 0, NULL, admin_get_policy},
    {"PUT", "/v1/volumes/?/policy", ADMIN_ADMIN, LARGE, NULL, admin_set_policy},
    {"POST", "/v1/volumes/?/values", ADMIN_ADMIN, LARGE, NULL, admin_add_values},
    {"GET", "/v1/volumes/?/values/?", ADMIN_READER, 0, NULL, admin_get_values},
    {"PATCH", "/v1/volumes/?/values/?", ADMIN_ADMIN, SMALL, NULL, admin_change_values},
    {"GET", "/v1/requests", ADMIN_READER, 0, requests_query, admin_list_requests},
    {"POST", "/v1/requests/?/approve", ADMIN_ADMIN, SMALL, NULL, admin_approve_request},
    {"POST", "/v1/requests/?/deny", ADMIN_ADMIN, SMALL, NULL, admin_deny_request},
    {"GET", "/v1/audit", ADMIN_READER, 0, audit_query, admin_list_audit},
    {"GET", "/v1/audit/checkpoint", ADMIN_READER, 0, NULL, admin_get_checkpoint},
    {"GET", "/v1/audit/?", ADMIN_READER, 0, NULL, admin_get_record},
    {"POST", "/v1/vault/rewrap", ADMIN_ADMIN, SMALL, NULL, admin_rewrap},
    {"GET", "/v1/vault/rewrap", ADMIN_READER, 0, NULL, admin_get_rewrap},
};

/* ---- which one? ---- */
/* Parts of `path` between slashes that fit question marks are counted, and cut out with `words`. */
static bool fits(const char *pattern, char *path, const char *words[ADMIN_WORDS_MAX])
{
    size_t found = 0;
    char *ends[ADMIN_WORDS_MAX];
    for (; *pattern; pattern++) {
        if (*pattern != '?') {
            if (*path++ != *pattern)
                return false;
            continue;
        }
        size_t n = strcspn(path, "/");
        if (n == 0)
            return false;
        if (words) {
            words[found] = path;
            ends[found++] = path + n;
        }
        path += n;
    }
    if (*path)
        return false;
    while (found > 0)
        *ends[--found] = '\0';
    return true;
}

static int find_route(struct admin_call *c, const char *method, struct error *err)
{
    bool known = false;
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
        if (!fits(routes[i].pattern, c->path, NULL))
            continue;
        known = true;
        if (strcmp(routes[i].method, method) != 0)
            continue;
        c->route = &routes[i];
        fits(routes[i].pattern, c->path, c->words);
        return 0;
    }
    if (known)
        return error_set(err, ENOTSUP, "%s: %s is not possible here", c->path, method);
    return error_hint(err, error_set(err, ENOENT, "%s: there is no such thing here", c->path),
                      "the interface is described in encrootd-admin(7)");
}

static bool is_listed(const char *const *names, const char *key)
{
    for (; names && *names; names++)
        if (strcmp(*names, key) == 0)
            return true;
    return false;
}

static int add_parameter(struct admin_call *c, char *text, struct error *err)
{
    char *value = strchr(text, '=');
    if (!value || c->query_count == ADMIN_QUERY_MAX)
        return error_set(err, EINVAL, "%s: expected name=value behind \"?\", found \"%.40s\"",
                         c->path, text);
    *value++ = '\0';
    if (!is_listed(c->route->query, text))
        return error_set(err, EINVAL, "%s: unknown parameter \"%.40s\"", c->path, text);
    /* Names, numbers and UUIDs need no escapes, so there are none to get wrong. */
    if (value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")])
        return error_set(err, EINVAL, "%s: \"%s\": forbidden character in \"%.80s\"", c->path, text,
                         value);
    if (admin_query(c, text))
        return error_set(err, EINVAL, "%s: \"%s\" is there twice", c->path, text);
    c->query[c->query_count].key = text;
    c->query[c->query_count++].value = value;
    return 0;
}

static int read_query(struct admin_call *c, char *query, struct error *err)
{
    int r = 0;
    for (char *part; r == 0 && (part = strsep(&query, "&"));)
        r = add_parameter(c, part, err);
    return r;
}

/* ---- may it? ---- */
/* "name" or "name:port"; an IPv6 address stands in brackets. */
static bool is_host(const char *host, const char *name)
{
    size_t n = strlen(name);
    if (strncasecmp(host, name, n) != 0)
        return false;
    host += n;
    return !*host || (*host == ':' && strspn(host + 1, "0123456789") == strlen(host + 1));
}

/*
 * What a browser was made to send by a page of someone else is refused. A page elsewhere shows by
 * its Origin. One whose name was made to lead here (DNS rebinding) shows by its Host: whoever
 * forwards a port to the UNIX socket opens it by a name that no DNS server is asked for, and over
 * TLS the browser has compared the name with the certificate. Nothing else is concluded from Host.
 */
static int check_origin(const struct admin_origin *o, struct error *err)
{
    static const char *const local[] = {"", "localhost", "127.0.0.1", "[::1]"};
    char own[300];
    bool known = o->encrypted;
    for (size_t i = 0; !known && i < ARRAY_SIZE(local); i++)
        known = is_host(o->host, local[i]);
    if (!known)
        return error_hint(
            err, error_set(err, EACCES, "Host: expected a name of this machine, found %s", o->host),
            "open it as http://localhost:PORT/");
    snprintf(own, sizeof(own), "http%s://%s", o->encrypted ? "s" : "", o->host);
    if (o->origin[0] && strcasecmp(o->origin, own) != 0)
        return error_set(err, EACCES, "Origin: a page of %s may not ask this", o->origin);
    return 0;
}

static int check_change(const struct admin_call *c, const struct http_request *head,
                        const struct admin_origin *o, struct error *err)
{
    if (strcmp(o->marker, "1") != 0)
        return error_hint(err,
                          error_set(err, EACCES, "a change needs the header X-Encroot-Admin: 1"),
                          "so that no web page can make a browser send it");
    if (c->route->body_max == 0
            ? head->content_type[0] && strcmp(head->content_type, "application/json") != 0 &&
                  strcmp(head->content_type, "application/octet-stream") != 0
            : strcmp(head->content_type, "application/json") != 0)
        return error_set(err, EMEDIUMTYPE, "Content-Type: expected application/json, found \"%s\"",
                         head->content_type);
    return 0;
}

static int check_role(const struct admin_call *c, struct error *err)
{
    if (c->user->role == ADMIN_NONE)
        return error_hint(
            err,
            error_set(err, EACCES, "%s may not use this broker's administration", c->user->name),
            "admin-group and reader-group in encrootd.conf(5) name who may");
    if (c->user->role < c->route->role)
        return error_hint(err,
                          error_set(err, EACCES, "%s may read, but not do this", c->user->name),
                          "it needs the role admin: encrootd.conf(5)");
    return 0;
}

int admin_route(struct admin_call *c, const struct http_request *head, const struct admin_origin *o,
                struct error *err)
{
    char *query;
    if (c->user->role == ADMIN_NONE)
        return check_role(c, err);
    int r = check_origin(o, err);
    if (r < 0)
        return r;
    memcpy(c->path, head->path, sizeof(c->path));
    query = strchr(c->path, '?');
    if (query)
        *query++ = '\0';
    r = find_route(c, head->method, err);
    if (r == 0)
        r = check_role(c, err);
    if (r == 0 && strcmp(head->method, "GET") != 0)
        r = check_change(c, head, o, err);
    if (r == 0 && head->content_length > c->route->body_max)
        r = error_set(err, EFBIG, "the body has %llu bytes, at most %zu are allowed",
                      (unsigned long long)head->content_length, c->route->body_max);
    return r == 0 && query ? read_query(c, query, err) : r;
}

/* ---- do it ---- */
static int read_body(struct admin_call *c, struct bytes body, struct error *err)
{
    if (c->route->body_max == 0)
        return 0;
    int r = json_parse(&c->body, body, "request", err);
    if (r == 0 && !json_is_object(c->body))
        r = error_set(err, EINVAL, "request: not a JSON object");
    return r;
}

void admin_handle(struct admin_call *c, struct bytes body)
{
    struct error err = {0};
    int r = read_body(c, body, &err);
    if (r == 0)
        r = c->route->handle(c, &err);
    if (r < 0)
        admin_fail(&c->reply, r, &err);
    if (c->reply.status >= 500)
        log_error(LOG_WARNING, &err, "administration: %s %s", c->route->method, c->route->pattern);
}

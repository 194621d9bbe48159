#include "base/hex.h"
#include "daemon/config_key.h"

#include <arpa/inet.h>
#include <limits.h>
#include <string.h>
#include <sys/un.h>

static void *member(struct daemon_config *c, size_t at)
{
    return (uint8_t *)c + at;
}

/* ---- texts ---- */
static int set_text(char **ret, const char *text, struct error *err)
{
    char *copy = strdup(text);
    if (!copy)
        return error_set(err, ENOMEM, "out of memory");
    *ret = copy;
    return 0;
}

int config_set_name(struct daemon_config *c, const struct config_key *k, const char *folder,
                    const char *value, struct error *err)
{
    if (strlen(value) > 64)
        return error_set(err, EINVAL, "at most 64 bytes are allowed, found %zu", strlen(value));
    return set_text(member(c, k->at), value, err);
}

int config_set_group(struct daemon_config *c, const struct config_key *k, const char *folder,
                     const char *value, struct error *err)
{
    if (strpbrk(value, " \t:,/"))
        return error_set(err, EINVAL, "expected the name of one group, found \"%.100s\"", value);
    return config_set_name(c, k, folder, value, err);
}

/* ---- paths, and URLs that may have one ---- */
static int set_joined(char **ret, const char *scheme, const char *folder, const char *path,
                      struct error *err)
{
    bool absolute = path[0] == '/';
    char *joined;
    if (!*path)
        return error_set(err, EINVAL, "expected a path behind \"%s\"", scheme);
    if (strlen(path) + (absolute ? 0 : strlen(folder) + 1) >= PATH_MAX)
        return error_set(err, ENAMETOOLONG, "the path is longer than %d bytes", PATH_MAX - 1);
    if (asprintf(&joined, "%s%s%s%s", scheme, absolute ? "" : folder, absolute ? "" : "/", path) <
        0)
        return error_set(err, ENOMEM, "out of memory");
    *ret = joined;
    return 0;
}

int config_set_path(struct daemon_config *c, const struct config_key *k, const char *folder,
                    const char *value, struct error *err)
{
    return set_joined(member(c, k->at), "", folder, value, err);
}

int config_set_socket(struct daemon_config *c, const struct config_key *k, const char *folder,
                      const char *value, struct error *err)
{
    char **path = member(c, k->at);
    int r = set_joined(path, "", folder, value, err);
    size_t max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
    if (r == 0 && strlen(*path) > max)
        return error_set(err, EINVAL, "a socket's path has at most %zu bytes, found %zu: %s", max,
                         strlen(*path), *path);
    return r;
}

struct scheme {
    const char *text;
    bool path; /* a file's path follows */
};

static int set_url(char **ret, const struct scheme *known, size_t count, const char *expected,
                   const char *folder, const char *value, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(known[i].text);
        if (strncmp(value, known[i].text, n) != 0)
            continue;
        if (known[i].path)
            return set_joined(ret, known[i].text, folder, value + n, err);
        if (value[n])
            return set_text(ret, value, err);
    }
    return error_set(err, EINVAL, "expected %s", expected);
}

/* What was found is not repeated: people write passwords into such URLs. */
int config_set_store(struct daemon_config *c, const struct config_key *k, const char *folder,
                     const char *value, struct error *err)
{
    static const struct scheme known[] = {{"sqlite:", true}, {"postgresql:", false}};
    return set_url(member(c, k->at), known, ARRAY_SIZE(known),
                   "sqlite:PATH or postgresql://HOST/DATABASE", folder, value, err);
}

static int set_kek(char **ret, const char *folder, const char *value, struct error *err)
{
    static const struct scheme known[] = {
        {"file:", true}, {"credential:", false}, {"pkcs11:", false}};
    return set_url(ret, known, ARRAY_SIZE(known), "file:PATH, credential:NAME or pkcs11:...",
                   folder, value, err);
}

int config_set_kek(struct daemon_config *c, const struct config_key *k, const char *folder,
                   const char *value, struct error *err)
{
    return set_kek(&c->keks[0], folder, value, err);
}

int config_set_kek_old(struct daemon_config *c, const struct config_key *k, const char *folder,
                       const char *value, struct error *err)
{
    if (c->kek_count == CONFIG_KEKS_MAX)
        return error_set(err, EINVAL, "at most %d are allowed", CONFIG_KEKS_MAX - 1);
    int r = set_kek(&c->keks[c->kek_count], folder, value, err);
    if (r == 0)
        c->kek_count++;
    return r;
}

/* ---- numbers and words ---- */
static bool read_number(const char *text, unsigned long max, unsigned long *ret)
{
    unsigned long n = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        n = 10 * n + (unsigned long)(*text - '0');
        if (n > max)
            return false;
    }
    *ret = n;
    return true;
}

int config_set_number(struct daemon_config *c, const struct config_key *k, const char *folder,
                      const char *value, struct error *err)
{
    unsigned long n;
    if (!read_number(value, k->max, &n) || n < k->min)
        return error_set(err, EINVAL, "expected a whole number from %u to %u, found \"%.100s\"",
                         k->min, k->max, value);
    *(unsigned *)member(c, k->at) = (unsigned)n;
    return 0;
}

static int find_word(const struct config_key *k, const char *value, int *ret, struct error *err)
{
    char list[128] = "";
    for (const struct config_word *w = k->words; w->word; w++) {
        if (strcmp(w->word, value) == 0) {
            *ret = w->value;
            return 0;
        }
        size_t at = strlen(list);
        snprintf(list + at, sizeof(list) - at, "%s%s", at ? ", " : "", w->word);
    }
    return error_set(err, EINVAL, "expected one of %s; found \"%.100s\"", list, value);
}

int config_set_word(struct daemon_config *c, const struct config_key *k, const char *folder,
                    const char *value, struct error *err)
{
    return find_word(k, value, member(c, k->at), err);
}

int config_set_flag(struct daemon_config *c, const struct config_key *k, const char *folder,
                    const char *value, struct error *err)
{
    int found;
    int r = find_word(k, value, &found, err);
    if (r == 0)
        *(bool *)member(c, k->at) = found;
    return r;
}

/* ---- addresses ---- */
static bool is_address(const char *host, bool bracketed)
{
    struct in6_addr any;
    return inet_pton(bracketed ? AF_INET6 : AF_INET, host, &any) == 1;
}

static int read_address(const char *value, struct config_address *ret, struct error *err)
{
    bool bracketed = value[0] == '[';
    const char *host = value + bracketed, *end = strrchr(host, bracketed ? ']' : ':');
    const char *port = end && bracketed ? end + 1 : end;
    struct config_address a = {0};
    unsigned long number;
    if (!end || *port != ':')
        return error_set(err, EINVAL, "expected ADDRESS:PORT or [IPV6]:PORT, found \"%.100s\"",
                         value);
    snprintf(a.host, sizeof(a.host), "%.*s", (int)(end - host), host);
    if (strchr(a.host, ':') && !bracketed)
        return error_set(err, EINVAL, "an IPv6 address stands in brackets, \"[%s]:%s\"", a.host,
                         port + 1);
    if (!is_address(a.host, bracketed))
        return error_set(err, EINVAL,
                         "\"%.100s\" is not an address of this host; names are not "
                         "looked up",
                         a.host);
    if (!read_number(port + 1, UINT16_MAX, &number))
        return error_set(err, EINVAL, "expected a port from 0 to 65535, found \"%.20s\"", port + 1);
    a.port = (uint16_t)number;
    *ret = a;
    return 0;
}

int config_set_address(struct daemon_config *c, const struct config_key *k, const char *folder,
                       const char *value, struct error *err)
{
    struct config_address *list = member(c, k->at), a;
    size_t *count = member(c, k->at_count);
    if (*count == CONFIG_LISTEN_MAX)
        return error_set(err, EINVAL, "at most %d are allowed", CONFIG_LISTEN_MAX);
    int r = read_address(value, &a, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < *count; i++)
        if (a.port && a.port == list[i].port && strcmp(a.host, list[i].host) == 0)
            return error_set(err, EINVAL, "%.100s is there twice", value);
    list[(*count)++] = a;
    return 0;
}

/* ---- clients: admin|reader sha256:<64 hex> NAME ---- */
static int read_client(const char *value, struct config_client *ret, struct error *err)
{
    static const char form[] = "admin|reader sha256:HEX NAME";
    struct config_client client = {0};
    char role[16], pin[80], name[65];
    int end = 0;
    if (sscanf(value, "%15s %79s %64s%n", role, pin, name, &end) != 3 || value[end])
        return error_set(err, EINVAL, "expected %s, where NAME has no space and at most 63 bytes",
                         form);
    client.role = strcmp(role, "admin") == 0    ? ADMIN_ADMIN
                  : strcmp(role, "reader") == 0 ? ADMIN_READER
                                                : ADMIN_NONE;
    if (client.role == ADMIN_NONE)
        return error_set(err, EINVAL, "expected %s, found \"%s\"", form, role);
    if (strncmp(pin, "sha256:", 7) != 0 || hex_decode(pin + 7, client.pin, sizeof(client.pin)) < 0)
        return error_hint(err,
                          error_set(err, EINVAL,
                                    "expected sha256: and 64 hexadecimal digits, "
                                    "found \"%s\"",
                                    pin),
                          "it is the SHA-256 of the public key in the client's certificate");
    if (strlen(name) >= sizeof(client.name))
        return error_set(err, EINVAL, "the client's name has more than %zu bytes",
                         sizeof(client.name) - 1);
    memcpy(client.name, name, strlen(name));
    *ret = client;
    return 0;
}

int config_set_client(struct daemon_config *c, const struct config_key *k, const char *folder,
                      const char *value, struct error *err)
{
    struct config_client client;
    if (c->client_count == CONFIG_CLIENTS_MAX)
        return error_set(err, EINVAL, "at most %d are allowed", CONFIG_CLIENTS_MAX);
    int r = read_client(value, &client, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < c->client_count; i++)
        if (memcmp(c->clients[i].pin, client.pin, sizeof(client.pin)) == 0)
            return error_set(err, EINVAL, "the key of %s is that of %s, too", client.name,
                             c->clients[i].name);
    c->clients[c->client_count++] = client;
    return 0;
}

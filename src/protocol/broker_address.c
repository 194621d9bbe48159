#include "protocol/broker_address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LABEL_MAX 63

/* ---- hosts ---- */
static int refuse(const char *host, const char *why, struct error *err)
{
    return error_set(err, EINVAL, "\"%.300s\": %s", host, why);
}

static int check_ipv4(const struct in_addr *a, const char *host, struct error *err)
{
    uint8_t first = (uint8_t)(ntohl(a->s_addr) >> 24);
    return first == 0 || first >= 224 ? refuse(host, "nobody can have this address", err) : 0;
}

static int check_ipv6(const struct in6_addr *a, const char *host, struct error *err)
{
    if (IN6_IS_ADDR_UNSPECIFIED(a) || IN6_IS_ADDR_MULTICAST(a) || IN6_IS_ADDR_V4MAPPED(a))
        return refuse(host, "nobody can have this address", err);
    if (IN6_IS_ADDR_LINKLOCAL(a))
        return refuse(host, "a link-local address says not on which interface it is", err);
    return 0;
}

static const char *label_defect(const char *label, size_t size)
{
    if (size == 0)
        return "expected a name, found an empty part between dots";
    if (size > LABEL_MAX)
        return "a part between dots is longer than 63 characters";
    if (label[0] == '-' || label[size - 1] == '-')
        return "a part between dots begins or ends with a hyphen";
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)label[i]) && label[i] != '-')
            return "a name has only letters, digits, hyphens and dots (other alphabets: as "
                   "xn--...)";
    return NULL;
}

static const char *name_defect(const char *host)
{
    bool number = false; /* the last label */
    for (const char *p = host;; p++) {
        size_t n = strcspn(p, ".");
        const char *defect = label_defect(p, n);
        if (defect)
            return defect;
        number = strspn(p, "0123456789") == n;
        p += n;
        if (!*p)
            return number ? "neither a name nor an IPv4 address" : NULL;
    }
}

int broker_host_check(const char *host, struct error *err)
{
    struct in_addr four;
    struct in6_addr six;
    if (!*host)
        return refuse(host, "expected a name or an address", err);
    if (strlen(host) > BROKER_HOST_MAX)
        return refuse(host, "longer than 253 characters", err);
    if (inet_pton(AF_INET, host, &four) == 1)
        return check_ipv4(&four, host, err);
    if (inet_pton(AF_INET6, host, &six) == 1)
        return check_ipv6(&six, host, err);
    if (strchr(host, ':'))
        return refuse(host, "not an IPv6 address (with a port: [ADDRESS]:PORT)", err);
    const char *defect = name_defect(host);
    return defect ? refuse(host, defect, err) : 0;
}

/* ---- with a port ---- */
static int parse_port(const char *text, const char *whole, uint16_t *ret, struct error *err)
{
    unsigned value = 0;
    size_t n = strlen(text);
    bool ok = n >= 1 && n <= 5;
    for (size_t i = 0; ok && i < n; i++) {
        ok = isdigit((unsigned char)text[i]) != 0;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    if (!ok || value < 1 || value > UINT16_MAX)
        return refuse(whole, "the port must be a number from 1 to 65535", err);
    *ret = (uint16_t)value;
    return 0;
}

static int copy_host(struct broker_address *b, const char *host, size_t size, const char *whole,
                     struct error *err)
{
    if (size > BROKER_HOST_MAX)
        return refuse(whole, "longer than 253 characters", err);
    memcpy(b->host, host, size);
    b->host[size] = '\0';
    return broker_host_check(b->host, err);
}

int broker_address_parse(const char *text, uint16_t default_port, struct broker_address *ret,
                         struct error *err)
{
    struct broker_address b = {.port = default_port};
    const char *host = text;
    const char *colon = strchr(text, ':');
    const char *port = colon && !strchr(colon + 1, ':') ? colon + 1 : NULL;
    size_t size = port ? (size_t)(colon - text) : strlen(text);
    if (*text == '[') {
        const char *end = strchr(text, ']');
        if (!end || (end[1] && end[1] != ':') || !memchr(text, ':', (size_t)(end - text)))
            return refuse(text, "expected [IPV6]:PORT", err);
        host = text + 1;
        size = (size_t)(end - host);
        port = end[1] ? end + 2 : NULL;
    }
    int r = copy_host(&b, host, size, text, err);
    if (r == 0 && port)
        r = parse_port(port, text, &b.port, err);
    if (r == 0)
        *ret = b;
    return r;
}

void broker_address_format(const struct broker_address *b, char ret[BROKER_TEXT_MAX])
{
    snprintf(ret, BROKER_TEXT_MAX, "%s port %u", b->host, b->port);
}

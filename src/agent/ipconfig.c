#include "agent/ipconfig.h"

#include "agent/dhcp_packet.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#define FIELDS_MAX 10
#define FIELD_SIZE 64
#define DNS_AT 7

static const struct {
    const char *name;
    enum ip_method method;
} methods[] = {
    {"dhcp", IP_DHCP}, {"on", IP_DHCP},  {"any", IP_DHCP},      {"both", IP_DHCP},
    {"off", IP_OFF},   {"none", IP_OFF}, {"static", IP_STATIC},
};

static int find_method(const char *name, enum ip_method *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        if (strcmp(methods[i].name, name) == 0) {
            *ret = methods[i].method;
            return 0;
        }
    return -EINVAL;
}

static int parse_address(const char *text, uint32_t *ret)
{
    struct in_addr a;
    if (inet_pton(AF_INET, text, &a) != 1)
        return -EINVAL;
    *ret = ntohl(a.s_addr);
    return 0;
}

static int parse_mask(const char *text, uint32_t *ret)
{
    if (strchr(text, '.'))
        return parse_address(text, ret) < 0 || !ipv4_mask_is_valid(*ret) ? -EINVAL : 0;
    unsigned prefix = 0;
    size_t n = strlen(text);
    if (n < 1 || n > 2)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        if (!isdigit((unsigned char)text[i]))
            return -EINVAL;
        prefix = prefix * 10 + (unsigned)(text[i] - '0');
    }
    if (prefix < 1 || prefix > 32)
        return -EINVAL;
    *ret = 0xffffffffu << (32 - prefix);
    return 0;
}

static int set_device(struct ip_setting *s, const char *name)
{
    if (strlen(name) >= sizeof(s->device) || strchr(name, '/'))
        return -EINVAL;
    memcpy(s->device, name, strlen(name) + 1);
    return 0;
}

/* The word's fields between colons; -EINVAL for too many or too long ones. */
static int split(const char *word, size_t size, char fields[FIELDS_MAX][FIELD_SIZE], size_t *count)
{
    size_t n = 0;
    size_t at = 0;
    for (size_t i = 0; i <= size; i++) {
        if (i < size && word[i] != ':')
            continue;
        if (n == FIELDS_MAX || i - at >= FIELD_SIZE)
            return -EINVAL;
        memcpy(fields[n], word + at, i - at);
        fields[n++][i - at] = '\0';
        at = i + 1;
    }
    *count = n;
    return 0;
}

static int parse_dns(char fields[FIELDS_MAX][FIELD_SIZE], size_t n, struct ip_setting *s)
{
    size_t count = 0;
    for (size_t i = DNS_AT; i < n && i < DNS_AT + IPCONFIG_DNS_MAX; i++) {
        uint32_t address = 0;
        if (!fields[i][0])
            continue;
        if (parse_address(fields[i], &address) < 0 || !ipv4_is_usable(address))
            return -EINVAL;
        s->dns[count++] = address;
    }
    return 0;
}

static int parse_long(char fields[FIELDS_MAX][FIELD_SIZE], size_t n, struct ip_setting *s)
{
    /* client, server, gateway, netmask, hostname, device, method, DNS, DNS; server and hostname
     * unused */
    if ((n > 5 && set_device(s, fields[5]) < 0) || parse_dns(fields, n, s) < 0)
        return -EINVAL;
    enum ip_method method = IP_DHCP;
    if (n > 6 && fields[6][0] && find_method(fields[6], &method) < 0)
        return -EINVAL;
    if (!fields[0][0]) {
        s->method = method;
        return method == IP_STATIC ? -EINVAL : 0;
    }
    /* An address is given: it holds, whatever the method says ("none", "off": no protocol). */
    s->method = IP_STATIC;
    if (parse_address(fields[0], &s->address) < 0 || !ipv4_is_usable(s->address))
        return -EINVAL;
    if (fields[2][0] && (parse_address(fields[2], &s->gateway) < 0 || !ipv4_is_usable(s->gateway)))
        return -EINVAL;
    s->mask = ipv4_class_mask(s->address);
    return fields[3][0] ? parse_mask(fields[3], &s->mask) : 0;
}

static int parse_word(const char *word, size_t size, struct ip_setting *ret)
{
    char fields[FIELDS_MAX][FIELD_SIZE] = {0};
    size_t n = 0;
    struct ip_setting s = {0};
    if (split(word, size, fields, &n) < 0)
        return -EINVAL;
    int r;
    if (n == 1)
        r = find_method(fields[0], &s.method);
    else if (n == 2)
        r = set_device(&s, fields[0]) < 0 ? -EINVAL : find_method(fields[1], &s.method);
    else
        r = parse_long(fields, n, &s);
    if (r < 0 || (s.method == IP_STATIC && s.address == 0))
        return -EINVAL;
    *ret = s;
    return 0;
}

int ipconfig_parse(const char *cmdline, struct ipconfig *ret, struct error *err)
{
    struct ipconfig c = {0};
    for (const char *p = cmdline; *p;) {
        p += strspn(p, " \t\n");
        /* Quotes keep blanks together, as in the kernel's own parser. */
        size_t n = 0;
        for (bool quoted = false; p[n] && (quoted || !strchr(" \t\n", p[n])); n++)
            quoted ^= p[n] == '"';
        if (n >= 3 && strncmp(p, "ip=", 3) == 0) {
            if (c.count == IPCONFIG_MAX)
                return error_set(err, EINVAL, "more than %d ip= parameters", IPCONFIG_MAX);
            if (parse_word(p + 3, n - 3, &c.settings[c.count]) < 0)
                return error_set(err, EINVAL, "cannot make sense of \"%.*s\"",
                                 n > 200 ? 200 : (int)n, p);
            c.count++;
        }
        p += n;
    }
    *ret = c;
    return 0;
}

const struct ip_setting *ipconfig_for(const struct ipconfig *c, const char *device)
{
    static const struct ip_setting everywhere = {.method = IP_DHCP};
    const struct ip_setting *general = NULL;
    for (size_t i = 0; i < c->count; i++) {
        if (strcmp(c->settings[i].device, device) == 0)
            return &c->settings[i];
        if (!c->settings[i].device[0] && !general)
            general = &c->settings[i];
    }
    return c->count ? general : &everywhere;
}

#include "agent/address6.h"

#include "base/hex.h"
#include "base/io.h"

#include <linux/if_addr.h>
#include <string.h>

#define LIST "/proc/net/if_inet6"
#define LIST_MAX 65536
#define SCOPE_GLOBAL 0

/* "20010db8000000000000000000000005 02 40 00 80     eth0": index, prefix, scope, flags */
static bool parse_line(const char *line, struct in6_addr *ret)
{
    static const unsigned unusable = IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED;
    char address[33];
    unsigned scope, flags;
    if (sscanf(line, "%32s %*x %*x %x %x", address, &scope, &flags) != 3 || scope != SCOPE_GLOBAL ||
        (flags & unusable))
        return false;
    return hex_decode(address, ret->s6_addr, sizeof(ret->s6_addr)) == 0;
}

size_t addresses6_parse(const char *text, struct in6_addr ret[ADDRESSES6_MAX])
{
    size_t n = 0;
    while (*text && n < ADDRESSES6_MAX) {
        n += parse_line(text, &ret[n]);
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return n;
}

size_t addresses6_read(struct in6_addr ret[ADDRESSES6_MAX])
{
    _buffer_ struct buffer text = {.max = LIST_MAX};
    if (read_file(LIST, LIST_MAX - 1, &text, NULL) < 0 || buffer_append(&text, "", 1) < 0)
        return 0; /* a kernel without IPv6 */
    return addresses6_parse((const char *)text.data, ret);
}

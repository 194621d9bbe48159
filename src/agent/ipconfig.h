/* The kernel's ip= parameter (Documentation/admin-guide/nfs/nfsroot.rst) and dracut's short form.
 */
#ifndef ENCROOT_AGENT_IPCONFIG_H
#define ENCROOT_AGENT_IPCONFIG_H

#include "base/bytes.h"
#include "base/error.h"

#include <net/if.h>

#define IPCONFIG_MAX 8
#define IPCONFIG_DNS_MAX 2

enum ip_method { IP_DHCP, IP_STATIC, IP_OFF };

struct ip_setting {
    char device[IFNAMSIZ]; /* "": every interface; with IP_STATIC, the first one */
    enum ip_method method;
    uint32_t address; /* host order; with IP_STATIC */
    uint32_t mask;
    uint32_t gateway;               /* 0: none */
    uint32_t dns[IPCONFIG_DNS_MAX]; /* instead of DHCP's; 0 behind the last */
};

struct ipconfig {
    struct ip_setting settings[IPCONFIG_MAX];
    size_t count; /* 0: nothing said, so DHCP everywhere */
};

/*
 * Every ip= in a kernel command line:
 *     ip=dhcp|on|any|both|off|none    ip=<device>:dhcp    ip=<device>:off
 *     ip=<client>:<server>:<gateway>:<netmask>:<hostname>:<device>:<method>[:<dns>:<dns>[:…]]
 * The netmask is dotted or a prefix length. -EINVAL names the parameter that makes no sense.
 */
int ipconfig_parse(const char *cmdline, struct ipconfig *ret, struct error *err) _must_use_;

/* What holds for the interface; NULL: leave it alone. */
const struct ip_setting *ipconfig_for(const struct ipconfig *c, const char *device);

#endif

/* One Ethernet interface of the kernel: up, down, address, route. By ioctl, as netdevice(7) has
 * it. Addresses are numbers in host order. */
#ifndef ENCROOT_AGENT_INTERFACE_H
#define ENCROOT_AGENT_INTERFACE_H

#include "base/error.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

/* Ethernet and with a hardware address? Then fill index and mac. */
bool interface_is_ethernet(const char *name, int *ret_index, uint8_t mac[6]);
bool interface_has_carrier(const char *name);
int interface_set_up(const char *name, bool up) _must_use_;
/* Replaces what was there; `gateway` 0: no default route. `metric` orders default routes. */
int interface_set_address(const char *name, uint32_t address, uint32_t mask, uint32_t gateway,
                          unsigned metric, struct error *err) _must_use_;
void interface_clear_address(const char *name);

#define IPV4_TEXT_SIZE 16
void ipv4_format(uint32_t address, char ret[IPV4_TEXT_SIZE]);
unsigned ipv4_prefix(uint32_t mask);

#endif

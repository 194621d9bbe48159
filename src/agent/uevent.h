/* The kernel's announcements of new devices (netlink, kobject_uevent): only that one came counts.
 */
#ifndef ENCROOT_AGENT_UEVENT_H
#define ENCROOT_AGENT_UEVENT_H

#include "base/error.h"

#include <stdbool.h>

/* A descriptor to poll for reading; negative errno. */
int uevent_open(struct error *err) _must_use_;
/* Read all there are; were there any? */
bool uevent_drain(int fd);

#endif

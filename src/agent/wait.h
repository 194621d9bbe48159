/*
 * The waiting room: from modules loaded to volume found and key received. One loop over device
 * events, network and connections; it ends only with success, an error that no waiting mends, or
 * the deadline (ending.h).
 */
#ifndef ENCROOT_AGENT_WAIT_H
#define ENCROOT_AGENT_WAIT_H

#include "agent/dial.h"
#include "agent/ipconfig.h"
#include "agent/listen.h"
#include "agent/modules.h"
#include "agent/network.h"
#include "agent/volume.h"

struct waiting {
    const struct agent_config *config;
    uint64_t deadline; /* for messages only */
    struct module_loader *modules;
    struct network *network;
    /* NULL until there is something to attest and to unlock, or as configured */
    struct listener *listener;
    struct dialer *dialer; /* and an address to dial from */
    int events;
    struct volume_device volume;
    bool found;           /* the volume */
    const char *attester; /* title of the platform in use; NULL: none yet */
    unsigned announced;   /* generation of the network that was announced */
    unsigned dialed;      /* generation of the network when all brokers were dialed */
    uint64_t dial_at;     /* when the dialer wants to work */
    uint64_t look_at;     /* when to look for devices again */
    uint64_t remind_at;   /* when to say again what is missing */
};

int waiting_start(struct waiting *w, const struct agent_config *c, const struct ipconfig *ip,
                  uint64_t deadline, struct error *err) _must_use_;
/* Until the secret is there; w->volume is then the partition. */
int wait_for_secret(struct waiting *w, struct secret **ret, struct error *err) _must_use_;
/* Connections, network and loader end; interfaces are left clean. */
void waiting_end(struct waiting *w);

#endif

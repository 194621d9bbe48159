/* Find the partition that holds the volume, among whatever disks the host shows. */
#ifndef ENCROOT_AGENT_VOLUME_H
#define ENCROOT_AGENT_VOLUME_H

#include "protocol/agent_config.h"

#include <sys/types.h>

struct volume_device {
    char name[64];  /* "vda3" */
    dev_t number;   /* of the partition */
    uint64_t bytes; /* its size */
};

/*
 * By the GPT's unique partition GUID; nothing inside the partition is read. 0; -ENOENT when no
 * disk has it (yet); everything else is final: -ENOTUNIQ when two have it (ATTACKS, D4), -ENOSPC
 * when it is smaller than the configuration says.
 */
int volume_find(const struct agent_config *c, struct volume_device *ret,
                struct error *err) _must_use_;

#endif

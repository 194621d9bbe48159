/*
 * The agent's configuration: written by `encroot image encrypt` into the initramfs as
 * /etc/encroot/agent.json, hence measured with it; read by the agent. It is the only thing the
 * agent believes about its disk and its broker.
 */
#ifndef ENCROOT_PROTOCOL_AGENT_CONFIG_H
#define ENCROOT_PROTOCOL_AGENT_CONFIG_H

#include "base/bytes.h"
#include "base/error.h"
#include "protocol/broker_address.h"

#define AGENT_CONFIG_PATH "/etc/encroot/agent.json"
#define AGENT_CONFIG_MAX ((size_t)1 << 20)
#define AGENT_PINS_MAX 8
#define AGENT_BROKERS_MAX 8
#define AGENT_LISTEN_PORT 7220
#define AGENT_BROKER_PORT 7221 /* where brokers are, if nothing else is said */
#define MAPPER_NAME "encroot"

enum agent_failure_action { AGENT_POWEROFF, AGENT_REBOOT };

/* One kernel module, listed after everything it depends on. */
struct agent_module {
    char *path;     /* in the initramfs, "/lib/modules/dm-crypt.ko": decompressed */
    char **aliases; /* NULL-terminated modalias patterns (fnmatch); none: always loaded */
    char **depends; /* NULL-terminated paths of modules that must be loaded before */
};

struct agent_config {
    /* volume */
    uint8_t volume_uuid[16];    /* LUKS UUID: names the volume to the broker, salts the key */
    uint8_t partition_uuid[16]; /* GPT unique partition GUID, in text order (as in PARTUUID=) */
    char *cipher;               /* "aes-xts-plain64" */
    uint32_t sector_size;       /* bytes: 512 or 4096 */
    uint64_t data_offset;       /* bytes from the partition's start to the first data sector */
    uint64_t data_size;         /* bytes of the filesystem; the partition must hold as much */
    /* root filesystem */
    char *root_type;     /* "ext4" */
    bool root_read_only; /* as the guest's command line says (ro/rw) */
    char *root_flags;    /* rootflags=, "" if none */
    /* broker */
    uint8_t pins[AGENT_PINS_MAX][32]; /* SHA-256 of the broker's SubjectPublicKeyInfo */
    size_t pin_count;                 /* at least 1 */
    uint16_t listen_port;             /* AGENT_LISTEN_PORT; 0: do not listen */
    struct broker_address brokers[AGENT_BROKERS_MAX]; /* to dial, in this order */
    size_t broker_count;                              /* not 0 where listen_port is */
    /* behaviour */
    uint32_t deadline; /* seconds from the agent's start until on_failure */
    enum agent_failure_action on_failure;
    struct agent_module *modules;
    size_t module_count;
};

/* Every member is required and checked; unknown members are errors. */
int agent_config_parse(struct agent_config *ret, struct bytes json, struct error *err) _must_use_;
/* Deterministic text: the same configuration gives the same bytes. */
int agent_config_format(const struct agent_config *c, struct buffer *ret,
                        struct error *err) _must_use_;
void agent_config_free(struct agent_config *c);

#endif

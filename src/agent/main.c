/*
 * encroot-agent: PID 1 of the initramfs. Waits for the broker, opens the encrypted root, hands
 * over to the guest's init. Whatever goes wrong ends in a reboot or power-off: there is no shell,
 * and nothing is read from the console (ATTACKS, B1).
 */
#include "agent/console.h"
#include "agent/dm.h"
#include "agent/early.h"
#include "agent/ending.h"
#include "agent/switch_root.h"
#include "agent/wait.h"
#include "base/io.h"
#include "crypto/tls.h"
#include "crypto/volume_key.h"

#include <stdio.h>
#include <string.h>

#define CMDLINE_MAX 65536

static int usage(int argc, char **argv)
{
    bool version = argc > 1 && strcmp(argv[1], "--version") == 0;
    printf("encroot-agent %s\n", ENCROOT_VERSION);
    if (!version)
        printf("\n"
               "Runs as /init of an initramfs made by `encroot image encrypt`: waits for the key\n"
               "broker, attests the machine to it, opens the encrypted root filesystem and starts\n"
               "the guest. Its configuration is %s in that initramfs.\n"
               "It does nothing when it is not process 1. See encroot-agent(8).\n",
               AGENT_CONFIG_PATH);
    return version || (argc > 1 && strcmp(argv[1], "--help") == 0) ? 0 : 2;
}

static int load_config(struct agent_config *ret, struct error *err)
{
    _buffer_ struct buffer text = {.max = AGENT_CONFIG_MAX + 1};
    int r = read_file(AGENT_CONFIG_PATH, AGENT_CONFIG_MAX, &text, err);
    return r < 0 ? r : agent_config_parse(ret, buffer_bytes(&text), err);
}

static void load_ipconfig(struct ipconfig *ret)
{
    struct error err = {0};
    _buffer_ struct buffer text = {.max = CMDLINE_MAX};
    *ret = (struct ipconfig){0};
    if (read_file("/proc/cmdline", CMDLINE_MAX - 1, &text, &err) < 0 ||
        buffer_append(&text, "", 1) < 0 || ipconfig_parse((const char *)text.data, ret, &err) < 0)
        say_error(&err, "ip= is ignored, DHCP is used");
}

static int open_volume(const struct agent_config *c, const struct secret *secret, dev_t *ret,
                       struct error *err)
{
    /* Look again: a second disk with the same GUID may have come since. */
    struct volume_device v;
    int r = volume_find(c, &v, err);
    if (r < 0)
        return r;
    _secret_ struct secret *key = NULL;
    r = volume_key_derive(&key, secret, c->volume_uuid, err);
    if (r < 0)
        return r;
    struct dm_crypt map = {.name = MAPPER_NAME,
                           .cipher = c->cipher,
                           .key = key,
                           .sector_size = c->sector_size,
                           .device = v.number,
                           .offset = c->data_offset,
                           .size = (v.bytes - c->data_offset) & ~((uint64_t)c->sector_size - 1)};
    memcpy(map.uuid, c->volume_uuid, sizeof(map.uuid));
    return dm_crypt_open(&map, ret, err);
}

static int mount_root(const struct agent_config *c, const struct secret *secret, struct error *err)
{
    dev_t mapping = 0;
    int r = open_volume(c, secret, &mapping, err);
    if (r < 0)
        return r;
    say("opened /dev/mapper/" MAPPER_NAME);
    if ((r = root_mount(c, err)) < 0) {
        dm_crypt_close(MAPPER_NAME);
        return r;
    }
    say("root filesystem mounted %s", c->root_read_only ? "read-only" : "read-write");
    if ((r = root_tell_udev(mapping, err)) < 0) {
        root_unmount();
        dm_crypt_close(MAPPER_NAME);
    }
    return r;
}

/* Returns only on failure; by then every secret is wiped and the mapping is gone. */
static int boot(const struct agent_config *c, uint64_t deadline, char **argv, struct error *err)
{
    struct ipconfig ip;
    load_ipconfig(&ip);
    struct waiting w;
    int r = waiting_start(&w, c, &ip, deadline, err);
    if (r < 0)
        return r;
    {
        _secret_ struct secret *secret = NULL;
        if ((r = wait_for_secret(&w, &secret, err)) < 0)
            return r;
        say("the broker released the key");
        if ((r = mount_root(c, secret, err)) < 0)
            return r;
    }
    waiting_end(&w);
    say("starting the guest");
    console_restore();
    r = switch_root(argv, err);
    root_unmount();
    dm_crypt_close(MAPPER_NAME);
    return r;
}

int main(int argc, char **argv)
{
    if (getpid() != 1)
        return usage(argc, argv);
    struct error err = {0};
    int r = early_mount(&err);
    console_open(CONSOLE_PATH);
    if (r < 0)
        end_boot("%s", err.text);
    early_guard();
    say("encroot-agent %s", ENCROOT_VERSION);
    struct agent_config config = {0};
    if (load_config(&config, &err) < 0)
        end_boot("%s", err.text);
    ending_set_action(config.on_failure);
    uint64_t deadline = clock_now() + SECONDS(config.deadline);
    if (ending_start_deadline(deadline) < 0)
        end_boot("cannot watch over the deadline");
    boot(&config, deadline, argv, &err);
    if (err.hint[0])
        end_boot("%s (%s)", err.text, err.hint);
    end_boot("%s", err.text);
}

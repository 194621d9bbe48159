/*
 * make-corpus DIR: write the seed corpus of every fuzz target, DIR/fuzz-NAME/. A target that has no
 * line here is an error of tools/fuzz.
 */
#include "corpus.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char admin_request[] =
    "PATCH /v1/volumes/web-1 HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
    "X-Encroot-Admin: 1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    "{\"name\":\"web-2\",\"enabled\":false,\"approval\":\"manual\",\"rate\":{\"count\":1,"
    "\"seconds\":60},\"not_before\":null,\"not_after\":\"2036-01-01T00:00:00Z\"}";

static const char admin_query[] =
    "GET /v1/audit?after=5&limit=3&newest=1&volume=web-1 HTTP/1.1\r\nHost: localhost\r\n\r\n";

static const char grub_cfg[] =
    "if [ -s $prefix/grubenv ]; then\n  load_env\nfi\n"
    "if [ \"${next_entry}\" ] ; then\n  set default=\"${next_entry}\"\n  save_env next_entry\n"
    "else\n  set default=\"0\"\nfi\n"
    "function savedefault {\n  saved_entry=\"${chosen}\"\n}\n"
    "serial --unit=0 --speed=115200\nterminal_input console\nset timeout=5\n"
    "menuentry 'Debian' --class debian $menuentry_id_option 'simple' {\n"
    "\tload_video\n\tinsmod gzio\n\tset root='hd0,gpt2'\n"
    "\tsearch --no-floppy --fs-uuid --set=root 1-2\n\techo\t'Loading ...'\n"
    "\tlinux\t/vmlinuz-1 root=UUID=3-4 ro console=ttyS0,115200 quiet\n\tinitrd\t/initrd.img-1\n}\n"
    "submenu 'Advanced' --id more {\n"
    "menuentry \"Recovery \\\"x\\\"\" {\n\tlinux /vmlinuz-1 root=UUID=3-4 single; initrd /i\n}\n}\n"
    "menuentry 'UEFI' {\n\tfwsetup\n}\n# the end\n";

static const char grub_stub[] = "search.fs_uuid 1-2 root hd0,gpt2\n"
                                "set prefix=($root)'/grub'\nconfigfile $prefix/grub.cfg\n";

/* modules.dep, .alias, .softdep, .builtin, with NULs between them. */
static const char modules[] =
    "kernel/drivers/md/dm-mod.ko:\nkernel/drivers/md/dm-crypt.ko: kernel/drivers/md/dm-mod.ko\n"
    "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko\nkernel/fs/jbd2/jbd2.ko:\n"
    "kernel/drivers/virtio/virtio_pci.ko.xz: kernel/drivers/virtio/virtio.ko\n"
    "kernel/drivers/virtio/virtio.ko:\nkernel/crypto/xts.ko:\n\0"
    "alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci\nalias crypto-xts xts\n\0"
    "softdep ext4 pre: xts post: virtio\n\0kernel/crypto/ecb.ko\n";

static const char fstab[] = "# <what> <where>\nUUID=1-2\t/\text4\terrors=remount-ro 0 1\n"
                            "LABEL=\"a\\040b\" /boot ext2 defaults\n/dev/vda15 /boot/efi vfat\n";

static const char ipconfig[] = "root=/dev/vda1 ip=10.0.2.15::10.0.2.2:24:guest:eth0:off:9.9.9.9:1.1.1.1 quiet "
                               "ip=eth1:dhcp ip=10.0.2.16::10.0.2.2:255.255.255.0::eth2:none ";

static const char cmdline[] = "root=UUID=1-2 ro rootflags=data=ordered console=ttyS0,115200 quiet "
                              "rd.break systemd.debug-shell=1 efi=debug ip=dhcp -- x ";
static const char recovery[] = "root=UUID=1-2 single ";

static const char policy[] =
    "{\"version\":1,\"volume\":\"91ff6f1b-bd8d-854b-9895-3c702895c1f8\",\"platforms\":[\"virtcca\"]"
    ","
    "\"rim\":[\"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"],"
    "\"trust\":{\"roots\":[],\"certificates\":[],\"revocation_lists\":[],"
    "\"revocation\":\"required\",\"dates\":\"checked\",\"subjects\":[\"CN=x\"],"
    "\"keys\":[\"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"]},"
    "\"platform\":{\"lifecycle\":[\"secured\"],\"profiles\":[\"p\"],"
    "\"implementation_ids\":[\"00\"],\"instance_ids\":[\"01\"],\"configurations\":[\"02\"],"
    "\"components\":[{\"type\":\"a\",\"measurements\":[\"00\"],\"signer_ids\":[\"ff\"],"
    "\"min_version\":\"1.2.3\"}]},"
    "\"boot\":[{\"grub\":\"NOT_FOUND\",\"grub.cfg\":\"NOT_FOUND\",\"kernels\":[],"
    "\"hash_alg\":\"sha-256\"}],\"records\":[],\"waive\":[\"secure-boot\"]}";

static const char daemon_config[] =
    "# a broker\nname = b\nlisten = [::]:7221\nlisten = 10.0.0.1:1 # too\nkey = k\nworkers = 3\n"
    "store = sqlite:b.db\nkek = credential:c\nkek-old = file:o\nkek-old = pkcs11:token=t\n"
    "evidence-keep = all\nadmin-socket = /run/s\nadmin-listen = [::1]:2\nadmin-client = reader "
    "sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f n\nlog = json\n"
    "log-level = debug\nhandshake-seconds = 4\nrequest-seconds = 5\n";

static const char jwk[] = "\0{\"kty\":\"EC\",\"crv\":\"P-256\","
                          "\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
                          "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}";

/* Under the key of fuzz-kek.c, a secret of 32 bytes. */
static const char wrapped[] =
    "\x45\x4b\x57\x31\x14\x98\x43\x99\x6d\xb2\x3e\x9f\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09"
    "\x0a\x0b\x04\x2e\x67\xac\xeb\x66\x7b\xd4\x5c\x77\x4d\x89\x72\x24\xec\x7b\x12\x74\xb0\x2e"
    "\xfe\xbe\xd7\x29\x1b\xb2\x57\x95\xed\xa7\x89\x3d\x8d\xa2\x3a\x7e\x7a\x97\xf2\x7e\xd7\xf1"
    "\x75\xba\xfe\xdf\x99\xb5";

static const char qemu[] =
    "-machine virt,gic-version=3 -cpu max,sve256=on,pmu=off -smp 4,sockets=1 -m 1G "
    "-bios /fw.bin -drive if=pflash,unit=0,file=a,,b -kernel Image -initrd i -append x ";

static const char grub_image[] = "..mimg\x0c\0\0\0\x18\0\0\0\x01\0\0\0\x0c\0\0\0disk";

static const char grub_pattern[] = "set root=(*)/\\*\0set root=(hd0,gpt2)/*";

#define TEXT(t)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(t), sizeof(t) - 1                                                        \
    }

static const struct target {
    const char *name;
    corpus_spoil *spoil; /* makes inputs of `good` */
    struct bytes good;
    corpus_make *make; /* or makes them all by itself */
} targets[] = {
    {"admin", corpus_lines, TEXT(admin_request)},
    {"admin", corpus_bytes, TEXT(admin_query)},
    {"agent-config", .make = seeds_agent_config},
    {"audit", .make = seeds_audit},
    {"audit-checkpoint", .make = seeds_audit_checkpoint},
    {"boot", .make = seeds_boot},
    {"bootplan", corpus_lines, TEXT(grub_cfg)},
    {"certificate", .make = seeds_certificate},
    {"cmdline", corpus_words, TEXT(cmdline)},
    {"cmdline", corpus_words, TEXT(recovery)},
    {"daemon-config", corpus_lines, TEXT(daemon_config)},
    {"decompress", .make = seeds_decompress},
    {"dhcp", .make = seeds_dhcp},
    {"eventlog", .make = seeds_eventlog},
    {"evidence", .make = seeds_evidence},
    {"front-request", .make = seeds_front_request},
    {"fstab", corpus_lines, TEXT(fstab)},
    {"gate", .make = seeds_gate},
    {"gpt", .make = seeds_gpt},
    {"grub-image", corpus_bytes, TEXT(grub_image)},
    {"grub-pattern", corpus_bytes, TEXT(grub_pattern)},
    {"grubcfg", corpus_bytes, TEXT(grub_stub)},
    {"grubcfg", corpus_lines, TEXT(grub_cfg)},
    {"http", .make = seeds_http},
    {"ipconfig", corpus_words, TEXT(ipconfig)},
    {"kek", corpus_bytes, TEXT(wrapped)},
    {"key-file", corpus_bytes, TEXT(jwk)},
    {"messages", .make = seeds_messages},
    {"modules", corpus_lines, TEXT(modules)},
    {"partition", .make = seeds_partition},
    {"pe", .make = seeds_pe},
    {"policy", corpus_json, TEXT(policy)},
    {"qcow2", .make = seeds_qcow2},
    {"qemu", corpus_words, TEXT(qemu)},
    {"reference", .make = seeds_reference},
    {"release", .make = seeds_release},
    {"tmm", .make = seeds_tmm},
    {"token", .make = seeds_token},
};

int main(int argc, char **argv)
{
    if (argc != 2)
        errx(2, "usage: make-corpus DIR");
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        const struct target *t = &targets[i];
        char folder[4096], name[32];
        snprintf(name, sizeof(name), "text%zu", i); /* a target may have several lines */
        snprintf(folder, sizeof(folder), "%s/fuzz-%s", argv[1], t->name);
        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
            err(1, "%s", folder);
        struct corpus c = {.folder = folder};
        if (t->make)
            t->make(&c);
        else
            t->spoil(&c, name, t->good);
        if (c.count == 0)
            errx(1, "%s: no inputs", folder);
    }
    return 0;
}

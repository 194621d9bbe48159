/* The two ways to a virtCCA token: the kernel's /dev/tsi, and the software TMM's virtio port. */
#ifndef ENCROOT_PLATFORM_VIRTCCA_ATTESTER_H
#define ENCROOT_PLATFORM_VIRTCCA_ATTESTER_H

#include "platform/platform.h"

#include <sys/types.h>

#define VIRTCCA_PLATFORM "virtcca"

extern const struct platform_attester attester_tsi;
extern const struct platform_attester attester_tmm_port;

/* ---- /dev/tsi (VIRTCCA.md, 2), behind operations so that a test can play the device ---- */
struct tsi_ops {
    /* As the system calls: -1 and errno on failure. */
    int (*open)(void *arg);
    int (*ioctl)(void *arg, int fd, unsigned long request, void *data);
    ssize_t (*read)(void *arg, int fd, void *p, size_t n);
    void (*close)(void *arg, int fd);
    void *arg;
};

#define TSI_CHALLENGE_SIZE 64
#define TSI_TOKEN_MAX 8192
#define TSI_CERTIFICATE_MAX 4096

struct tsi_token { /* since June 2024 */
    uint8_t challenge[TSI_CHALLENGE_SIZE];
    uint8_t token[TSI_TOKEN_MAX];
    uint64_t token_size;
};

struct tsi_token_old { /* the token follows by read(2) */
    uint8_t challenge[TSI_CHALLENGE_SIZE];
    uint64_t token_size;
    uint64_t kernel_only[6]; /* two pointers and four numbers that are not for us */
};

struct tsi_certificate {
    uint64_t size;
    uint8_t value[TSI_CERTIFICATE_MAX];
};

#define TSI_GET_TOKEN _IOWR('T', 1, struct tsi_token)
#define TSI_GET_TOKEN_OLD _IOWR('T', 1, struct tsi_token_old)
#define TSI_GET_CERTIFICATE _IOR('T', 2, struct tsi_certificate)

/* Token and device certificate. Both buffers are written only on success. */
int tsi_collect(const struct tsi_ops *ops, const uint8_t challenge[CHALLENGE_SIZE],
                struct buffer *token, struct buffer *certificate, struct error *err) _must_use_;

/* ---- the software TMM (protocol/tmm_port.h) on an open, non-blocking descriptor ---- */
/* `deadline`: CLOCK_BOOTTIME nanoseconds. Buffers are written only on success. */
int tmm_port_exchange(int fd, const uint8_t challenge[CHALLENGE_SIZE], uint64_t deadline,
                      struct buffer *token, struct buffer *certificate,
                      struct error *err) _must_use_;

#endif

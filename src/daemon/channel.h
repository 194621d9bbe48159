/*
 * Frames between the processes of one broker, over a stream socketpair: a fixed head, then bytes.
 * Numbers are in host order: both ends are the same program. Nothing is parsed but the head; what a
 * frame holds is laid out in daemon/messages.h.
 *
 * A channel never blocks a process that serves others: what the peer does not read waits in `out`,
 * up to a limit, and beyond it the peer is given up (-ENOBUFS). Buffers of channels that carry
 * secrets are locked by the process (mlockall), and every byte is wiped when it was sent or taken.
 */
#ifndef ENCROOT_DAEMON_CHANNEL_H
#define ENCROOT_DAEMON_CHANNEL_H

#include "base/bytes.h"
#include "base/error.h"

#define CHANNEL_FRAME_MAX ((size_t)9 << 20) /* a policy, or evidence twice over */

struct frame {
    uint32_t type;       /* enum message of daemon/messages.h */
    uint64_t connection; /* number that the gate gave; 0: of none */
    struct bytes body;   /* borrowed: until the next call on the channel */
};

struct channel {
    int fd;
    size_t frame_max; /* of what is received; 0: CHANNEL_FRAME_MAX */
    size_t out_max;   /* bytes that may wait; 0: 4 frames of the largest size */
    bool ended;       /* the peer closed */
    struct buffer in, out;
    size_t taken, sent; /* how much of `in` was taken, of `out` written */
    size_t lent;        /* of what was taken: the last frame, until the next call */
};

/* Takes over `fd`, which becomes non-blocking and close-on-exec. */
void channel_init(struct channel *c, int fd);
/* Wipes and closes; harmless on a zeroed channel whose fd is -1. */
void channel_free(struct channel *c);

/* Read what there is, without waiting. 0, also when the peer closed (`ended`, which may take one
 * more call, for which the descriptor is readable); negative errno. */
int channel_fill(struct channel *c, struct error *err) _must_use_;
/* The next whole frame: 1 with *ret, 0 if there is none yet, -EPROTO for one beyond the limits. */
int channel_next(struct channel *c, struct frame *ret, struct error *err) _must_use_;

/* Queue a frame whose body is all of `parts`, in order. */
int channel_queue(struct channel *c, uint32_t type, uint64_t connection, const struct bytes *parts,
                  size_t count, struct error *err) _must_use_;
/* The same, and write what goes without waiting. */
int channel_send(struct channel *c, uint32_t type, uint64_t connection, const struct bytes *parts,
                 size_t count, struct error *err) _must_use_;
/* Write more of what waits. */
int channel_flush(struct channel *c, struct error *err) _must_use_;
bool channel_wants_write(const struct channel *c);
/* Bytes that wait. */
size_t channel_waiting(const struct channel *c);

/* For processes that do one thing at a time: wait for the next frame, or until the queue is
 * written. `deadline`: CLOCK_BOOTTIME; 0: for ever. -ECONNRESET when the peer closed, -ETIMEDOUT.
 */
int channel_wait(struct channel *c, struct frame *ret, uint64_t deadline,
                 struct error *err) _must_use_;
int channel_drain(struct channel *c, uint64_t deadline, struct error *err) _must_use_;

#endif

/* Sockets on their way from the gate to a front: one datagram each, over SOCK_SEQPACKET. */
#ifndef ENCROOT_DAEMON_HANDOFF_H
#define ENCROOT_DAEMON_HANDOFF_H

#include "daemon/messages.h"

/* `fd` stays the caller's. -EAGAIN when the front has as many as it can take. */
int handoff_send(int wire, uint64_t connection, const struct message_connection *c, int fd,
                 struct error *err) _must_use_;
/*
 * 1 with the outputs (the socket, which is close-on-exec, becomes the caller's), 0 when the gate
 * closed the wire. -EAGAIN when there is none now. -EMFILE when the socket found no descriptor
 * here: *connection is set, and the socket is gone. -EPROTO for any other datagram.
 */
int handoff_receive(int wire, uint64_t *connection, struct message_connection *c, int *fd,
                    struct error *err) _must_use_;

#endif

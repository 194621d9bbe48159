/* The agent's side of POST /v1/release (protocol/release.h) on a connected socket. */
#ifndef ENCROOT_AGENT_RELEASE_CLIENT_H
#define ENCROOT_AGENT_RELEASE_CLIENT_H

#include "base/secret.h"
#include "protocol/agent_config.h"

struct release_client {
    const struct agent_config *config;
    /* Called when the peer has proven to hold a pinned key; may be NULL. */
    void (*authenticated)(void *arg);
    void *arg;
};

/*
 * TLS handshake (10 s), evidence for this very connection, request, answer; 60 s in all. Evidence
 * is collected for authenticated brokers only, one at a time. The result has VOLUME_SECRET_SIZE
 * bytes. -EACCES when the broker refused, for now or
 * for good; -EKEYREJECTED when it is no broker of ours.
 */
int release_fetch(const struct release_client *c, int fd, struct secret **ret,
                  struct error *err) _must_use_;

/* -EACCES and what an answer other than 200 says, in plain characters: code and correlation id for
 * the operator who reads the console. */
int release_refusal(int status, struct bytes body, struct error *err) _must_use_;

#endif

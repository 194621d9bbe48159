/*
 * Channel binding. challenge = SHA-512("encroot/1 evidence" ‖ 0x00 ‖ exporter), where exporter is
 * the 64-byte TLS 1.3 exporter (RFC 8446, 7.5) with label "EXPORTER-encroot-1" and no context.
 */
#ifndef ENCROOT_PROTOCOL_CHANNEL_H
#define ENCROOT_PROTOCOL_CHANNEL_H

#include "base/bytes.h"
#include "base/error.h"
#include "protocol/evidence.h"

#define CHANNEL_EXPORTER_LABEL "EXPORTER-encroot-1"
#define CHANNEL_EXPORTER_SIZE 64
#define CHANNEL_ALPN "encroot/1"

int channel_challenge(uint8_t ret[CHALLENGE_SIZE], const uint8_t exporter[CHANNEL_EXPORTER_SIZE],
                      struct error *err) _must_use_;

#endif

/*
 * The software TMM's guest interface: a virtio-serial port. Development and tests only.
 * One request, one answer, little-endian:
 *   request:  "TMMQ" u32 size = 64, challenge[64]
 *   answer:   "TMMA" u32 status (0 or errno), u32 token_size, u32 certificate_size, bytes of both
 * A reader that finds another magic discards input until it finds the right one.
 */
#ifndef ENCROOT_PROTOCOL_TMM_PORT_H
#define ENCROOT_PROTOCOL_TMM_PORT_H

#define TMM_PORT_NAME "org.encroot.tmm.0"
#define TMM_REQUEST_MAGIC "TMMQ"
#define TMM_ANSWER_MAGIC "TMMA"
#define TMM_TOKEN_MAX 65536
#define TMM_CERTIFICATE_MAX 16384

#endif

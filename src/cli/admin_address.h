/* Where a broker is administered: `unix:PATH`, or `https://HOST:PORT` with certificates. */
#ifndef ENCROOT_CLI_ADMIN_ADDRESS_H
#define ENCROOT_CLI_ADMIN_ADDRESS_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define ADMIN_ADDRESS_DEFAULT "unix:/run/encrootd/admin.sock"
#define ADMIN_ADDRESS_VARIABLE "ENCROOT_BROKER" /* of the environment */
#define ADMIN_ADDRESS_MAX 320

struct admin_address {
    char text[ADMIN_ADDRESS_MAX]; /* as it was given; for messages */
    bool tls;
    char path[108]; /* of the socket */
    char host[256]; /* name or address, without brackets */
    uint16_t port;
};

/* Does the word begin as an address does? */
bool admin_address_begins(const char *word);
/* `text` NULL or "": from the environment, else the default. -EINVAL. */
int admin_address_parse(struct admin_address *ret, const char *text, struct error *err) _must_use_;
/*
 * A connected socket. -EHOSTUNREACH and -ETIMEDOUT when nothing answers there, -EKEYREJECTED when
 * this user may not open the socket; each with what to do about it.
 */
int admin_dial(const struct admin_address *a, uint64_t deadline, struct error *err) _must_use_;

#endif

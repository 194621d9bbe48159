/* Failures of OpenSSL as error chains: its own reason goes behind the text, its queue is emptied.
 */
#ifndef ENCROOT_CRYPTO_OPENSSL_ERROR_H
#define ENCROOT_CRYPTO_OPENSSL_ERROR_H

#include "base/error.h"

/* "text: reason of OpenSSL"; returns -code. */
int openssl_error(struct error *err, int code, const char *fmt, ...) _printf_(3, 4);

#endif

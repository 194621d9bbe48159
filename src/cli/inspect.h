/*
 * Evidence made readable: each part becomes a JSON object, which is printed as it is (--json) or
 * as indented text. Showing is not verifying: nothing here says that what it shows is true.
 */
#ifndef ENCROOT_CLI_INSPECT_H
#define ENCROOT_CLI_INSPECT_H

#include "base/json.h"
#include "crypto/digest.h"

/* Each returns a new reference in `ret`. */
int inspect_token(json_t **ret, struct bytes in, struct error *err) _must_use_;
int inspect_certificate(json_t **ret, struct bytes in, struct error *err) _must_use_;
/* `pcr`: indices are PCRs (TCG2), else registers (CCEL). Digests are those of SHA-256's bank, or of
 * another that is there; "replayed" has what the registers come to in every bank. */
int inspect_event_log(json_t **ret, struct bytes in, bool pcr, struct error *err) _must_use_;

/* The object as text. */
void inspect_print(FILE *out, const json_t *object);

/* Values from evidence: text with everything but printable ASCII as \xNN, and hexadecimal. */
void inspect_put_text(json_t *object, const char *key, struct bytes text);
void inspect_put_hex(json_t *object, const char *key, struct bytes value);

#endif

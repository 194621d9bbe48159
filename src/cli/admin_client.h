/*
 * One request to a broker's administration and its answer: HTTP/1.1 with JSON over a UNIX socket
 * or mutual TLS, a connection each. Answers are bounded in size and time. An answer may hold a
 * secret (an export), so that its bytes are wiped.
 */
#ifndef ENCROOT_CLI_ADMIN_CLIENT_H
#define ENCROOT_CLI_ADMIN_CLIENT_H

#include "base/json.h"
#include "cli/admin_address.h"

#define ADMIN_ANSWER_MAX ((size_t)64 << 20)

struct admin_client {
    struct admin_address address;
    const char *key, *certificate; /* https: PEM files */
    uint8_t pin[32];               /* https: SHA-256 of the server's SubjectPublicKeyInfo */
    uint64_t seconds;              /* for a whole exchange */
};

/*
 * `body` NULL: none. `ret`: the answer, JSON of any type; NULL after 204. `ret` itself may be NULL
 * where nothing is expected. What the broker refuses becomes an error with its text and hint:
 * -EINVAL (400), -EKEYREJECTED (403), -ENOENT (404), -EBUSY (409), -EFBIG (413), -EHOSTDOWN (503),
 * -EIO otherwise. -EPROTO for an answer that is none; -EHOSTUNREACH, -ETIMEDOUT and -ECONNRESET
 * when there is no answer.
 */
int admin_call(const struct admin_client *c, const char *method, const char *path,
               const json_t *body, json_t **ret, struct error *err) _must_use_;
/* GET what is not one JSON text (application/x-ndjson); appended to `ret`. */
int admin_get_lines(const struct admin_client *c, const char *path, struct buffer *ret,
                    struct error *err) _must_use_;

/* A path with `text` percent-encoded at "%s" (RFC 3986, 2.1), whatever a user calls a volume; to
 * be freed. */
char *admin_path(const char *before, const char *text, const char *behind);

/* From now on, memory that JSON values used is wiped when it is freed: for commands that pass a
 * secret on. A text of json_dumps is the caller's to wipe. */
void admin_wipe_json(void);

#endif

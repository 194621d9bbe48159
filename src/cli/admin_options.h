/* What the commands share that speak to a broker's administration. */
#ifndef ENCROOT_CLI_ADMIN_OPTIONS_H
#define ENCROOT_CLI_ADMIN_OPTIONS_H

#include "cli/admin_client.h"
#include "cli/options.h"

#define ADMIN_SECONDS 60

struct admin_options {
    const char *broker; /* NULL: not given; "" or an address */
    const char *key, *certificate, *pin;
    uint64_t seconds;
    bool json;
};
#define ADMIN_OPTIONS_DEFAULT                                                                      \
    {                                                                                              \
        .seconds = ADMIN_SECONDS                                                                   \
    }

/* Lines of an option table: how to reach the broker. `broker_name`, `text`: of the first. */
#define ADMIN_REACH_SPECS(o, broker_name, text)                                                    \
    {0, broker_name, OPTION_MAYBE, "ADDRESS", text, &(o).broker, 0, 0, admin_address_begins},      \
        {0,                                                                                        \
         "client-key",                                                                             \
         OPTION_STRING,                                                                            \
         "FILE",                                                                                   \
         "for https: private key of who administers (PEM)",                                        \
         &(o).key,                                                                                 \
         0,                                                                                        \
         0},                                                                                       \
        {0,                                                                                        \
         "client-certificate",                                                                     \
         OPTION_STRING,                                                                            \
         "FILE",                                                                                   \
         "and its certificate, which the broker knows\n(admin-client in encrootd.conf(5))",       \
         &(o).certificate,                                                                         \
         0,                                                                                        \
         0},                                                                                       \
        {0,                                                                                        \
         "pin",                                                                                    \
         OPTION_STRING,                                                                            \
         "sha256:HEX",                                                                             \
         "for https: of the public key of the broker's administration",                            \
         &(o).pin,                                                                                 \
         0,                                                                                        \
         0},                                                                                       \
    {                                                                                              \
        0, "timeout", OPTION_UINT, "SECONDS",                                                      \
            "how long an answer of the broker may take (default: 60)",              \
            &(o).seconds, 1, 86400                                                                 \
    }
#define ADMIN_OPTION_SPECS(o)                                                                      \
    ADMIN_REACH_SPECS(o, "broker",                                                                 \
                      "unix:PATH or https://HOST:PORT (default:\n"                                 \
                      "$ENCROOT_BROKER, else " ADMIN_ADDRESS_DEFAULT ")"),                         \
    {                                                                                              \
        0, "json", OPTION_FLAG, NULL, "print the result as JSON", &(o).json, 0, 0                  \
    }

/* -EINVAL for an address that makes no sense, or https without key, certificate and pin. */
int admin_client_of(struct admin_client *ret, const struct admin_options *o,
                    struct error *err) _must_use_;

/* For a command whose operands are `count` words, called `what` ("a volume"), if not zero. Returns
 * OPTIONS_DONE, or an exit code to return at once. */
int admin_parse(const struct usage *u, int argc, char **argv, const struct admin_options *o,
                int count, const char *what, char ***ret_operands, struct admin_client *ret);

/* The exit code of a failed call to a broker. */
int admin_exit_code(int r);
/* report_error() with it. */
int admin_report(const struct error *err, int r, bool json);

/* Indented, on standard output. */
void admin_print_json(const json_t *j);
/* A member that the broker sent: "" and 0 if it is not there or of another type. */
const char *admin_text(const json_t *o, const char *key);
json_int_t admin_number(const json_t *o, const char *key);
/* The array `key` of the answer; NULL, and an error, if it has none. */
const json_t *admin_list(const json_t *answer, const char *key, struct error *err) _must_use_;

#endif

/* What lies where in the folder that `encroot init` makes. */
#ifndef ENCROOT_CLI_PATHS_H
#define ENCROOT_CLI_PATHS_H

#include "base/error.h"

struct paths {
    char *folder;
    char *broker_key;   /* broker.key */
    char *broker_cert;  /* broker.crt */
    char *rootfs_key;   /* rootfs_key.bin */
    char *trust;        /* trust */
    char *trust_folder; /* trust/certificates */
    char *trust_pins;   /* trust/roots.sha256 */
    char *audit;        /* audit.log */
    char *vault_kek;    /* vault.kek */
    char *broker_conf;  /* encrootd.conf */
    char *broker_store; /* broker.db, which encrootd makes */
};

int paths_of(struct paths *ret, const char *folder, struct error *err) _must_use_;
void paths_free(struct paths *p);

#endif

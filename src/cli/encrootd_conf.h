/* The configuration that `encroot init` gives a broker to begin with. */
#ifndef ENCROOT_CLI_ENCROOTD_CONF_H
#define ENCROOT_CLI_ENCROOTD_CONF_H

/* encrootd.conf(5), for the folder that it is in: every key, those that are set and the rest as
 * comments with their defaults. */
extern const char encrootd_conf[];

#endif

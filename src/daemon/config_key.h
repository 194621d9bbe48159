/* One key of encrootd.conf and how its value is read: shared by config.c and config_value.c only.
 */
#ifndef ENCROOT_DAEMON_CONFIG_KEY_H
#define ENCROOT_DAEMON_CONFIG_KEY_H

#include "base/suggest.h"
#include "daemon/config.h"

struct config_word {
    const char *word;
    int value;
};

struct config_key;
/* Writes the member at k->at. Errors say what was expected and found; the caller adds where. */
typedef int config_set(struct daemon_config *c, const struct config_key *k, const char *folder,
                       const char *value, struct error *err);

struct config_key {
    const char *name;
    config_set *set;
    size_t at;       /* of the member in struct daemon_config */
    size_t at_count; /* of its count, where it may be there several times */
    bool many;
    bool guarded;      /* its value may hold a password */
    unsigned min, max; /* of numbers */
    const struct config_word *words;
    const char *preset; /* the value when the key is not there; NULL: none, or computed */
};

config_set config_set_name, config_set_group; /* char * */
config_set config_set_path, config_set_socket;
config_set config_set_store, config_set_kek, config_set_kek_old;
config_set config_set_number;  /* unsigned */
config_set config_set_word;    /* int or enum */
config_set config_set_flag;    /* bool, of words */
config_set config_set_address; /* struct config_address[CONFIG_LISTEN_MAX] */
config_set config_set_client;

#endif

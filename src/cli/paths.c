#include "cli/paths.h"

#include <stddef.h>

static const struct {
    size_t member;
    const char *name;
} table[] = {
    {offsetof(struct paths, folder), ""},
    {offsetof(struct paths, broker_key), "/broker.key"},
    {offsetof(struct paths, broker_cert), "/broker.crt"},
    {offsetof(struct paths, rootfs_key), "/rootfs_key.bin"},
    {offsetof(struct paths, trust), "/trust"},
    {offsetof(struct paths, trust_folder), "/trust/certificates"},
    {offsetof(struct paths, trust_pins), "/trust/roots.sha256"},
    {offsetof(struct paths, audit), "/audit.log"},
    {offsetof(struct paths, vault_kek), "/vault.kek"},
    {offsetof(struct paths, broker_conf), "/encrootd.conf"},
    {offsetof(struct paths, broker_store), "/broker.db"},
};

static char **member(struct paths *p, size_t i)
{
    return (char **)((char *)p + table[i].member);
}

int paths_of(struct paths *ret, const char *folder, struct error *err)
{
    struct paths p = {0};
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (asprintf(member(&p, i), "%s%s", folder, table[i].name) < 0) {
            *member(&p, i) = NULL;
            paths_free(&p);
            return error_set(err, ENOMEM, "out of memory");
        }
    *ret = p;
    return 0;
}

void paths_free(struct paths *p)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        free(*member(p, i));
        *member(p, i) = NULL;
    }
}

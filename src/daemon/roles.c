#include "daemon/process.h"

static const struct {
    const char *name;
    bool paired, stores;
} roles[ROLE_COUNT] = {
    [ROLE_GATE] = {"gate"},
    [ROLE_FRONT] = {"front", .paired = true},
    [ROLE_APPRAISER] = {"appraiser", .paired = true},
    [ROLE_KEEPER] = {"keeper", .stores = true},
    [ROLE_ADMIN] = {"admin", .stores = true},
    [ROLE_MONITOR] = {"monitor"},
};

const char *role_name(enum role r)
{
    return r < ROLE_COUNT ? roles[r].name : "supervisor";
}

bool role_is_paired(enum role r)
{
    return r < ROLE_COUNT && roles[r].paired;
}

bool role_stores(enum role r)
{
    return r < ROLE_COUNT && roles[r].stores;
}

#include "daemon/process.h"

static const struct {
    const char *name;
    bool paired;
} roles[ROLE_COUNT] = {
    [ROLE_GATE] = {"gate"},
    [ROLE_FRONT] = {"front", .paired = true},
    [ROLE_APPRAISER] = {"appraiser", .paired = true},
    [ROLE_KEEPER] = {"keeper"},
    [ROLE_ADMIN] = {"admin"},
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

#include "daemon/process.h"

const char *role_name(enum role r)
{
    static const char *const names[ROLE_COUNT] = {
        [ROLE_GATE] = "gate",     [ROLE_FRONT] = "front", [ROLE_APPRAISER] = "appraiser",
        [ROLE_KEEPER] = "keeper", [ROLE_ADMIN] = "admin", [ROLE_MONITOR] = "monitor",
    };
    return r < ROLE_COUNT ? names[r] : "supervisor";
}

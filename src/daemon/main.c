/* encrootd: the key broker. */
#include "daemon/command.h"

static const struct role_table roles = {
    {
        [ROLE_GATE] = gate_run,
        [ROLE_FRONT] = front_run,
        [ROLE_APPRAISER] = appraiser_run,
        [ROLE_KEEPER] = keeper_run,
        [ROLE_ADMIN] = admin_run,
        [ROLE_MONITOR] = monitor_run,
    },
};

int main(int argc, char **argv)
{
    return encrootd_main(&roles, argc, argv);
}

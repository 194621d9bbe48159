#include "store/db.h"

#include <time.h>

uint64_t db_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

unsigned db_left(const struct db *db)
{
    uint64_t now = db_now();
    return now < db->deadline ? (unsigned)(db->deadline - now) : 0;
}

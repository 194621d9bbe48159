#include "daemon/allowance.h"

#define SECOND UINT64_C(1000000000)

struct allowance allowance_of(uint64_t total, uint64_t seconds, uint64_t now)
{
    uint64_t rate = total / seconds;
    return (struct allowance){
        .left = total / 8, .most = total / 8, .rate = rate ? rate : 1, .since = now};
}

void allowance_refill(struct allowance *a, uint64_t now)
{
    uint64_t seconds = now > a->since ? (now - a->since) / SECOND : 0;
    a->since += seconds * SECOND;
    uint64_t room = a->most - a->left;
    a->left += seconds > room / a->rate ? room : seconds * a->rate;
}

bool allowance_take(struct allowance *a, uint64_t n)
{
    if (n > a->left)
        return false;
    a->left -= n;
    return true;
}

#include "measure/qemu_options.h"
#include "measure/rim.h"

static int parse_number(const char *text, unsigned *ret, struct error *err)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || n < 1 || n > RIM_VCPUS_MAX)
        return error_set(err, EINVAL, "-smp: %s is not a number from 1 to %d", text, RIM_VCPUS_MAX);
    *ret = (unsigned)n;
    return 0;
}

/* Multiply `product` by the level's number; a level that is not given is 1. */
static int multiply_level(const char *value, const char *level, unsigned *product,
                          struct error *err)
{
    _free_ char *text = option_value(value, level);
    unsigned n = 1;
    int r = text ? parse_number(text, &n, err) : 0;

    if (r < 0)
        return r;
    if (n > RIM_VCPUS_MAX / *product)
        return error_set(err, EINVAL, "-smp %s: more than %d vCPUs", value, RIM_VCPUS_MAX);
    *product *= n;
    return 0;
}

int vcpus_parse(const char *value, unsigned *ret, struct error *err)
{
    static const char *const levels[] = {"sockets", "dies", "clusters", "cores", "threads"};
    _free_ char *bare = option_value(value, NULL);
    _free_ char *cpus = option_value(value, "cpus");
    _free_ char *most = option_value(value, "maxcpus");
    const char *stated = bare ? bare : cpus ? cpus : most; /* as QEMU fills in what is missing */
    unsigned product = 1;
    int r = 0;

    if (stated)
        return parse_number(stated, ret, err);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(levels); i++)
        r = multiply_level(value, levels[i], &product, err);
    if (r == 0)
        *ret = product;
    return r;
}

#include "measure/qemu_command.h"

#include "base/json.h"
#include "measure/qemu_options.h"

#include <stdarg.h>
#include <string.h>

#define PFLASH_UNITS 8

/* While a command line is being read. */
struct parse {
    struct qemu_command *c;
    char *flash;           /* pflash unit 0; owned */
    unsigned pflash_units; /* bit n: unit n is taken */
    bool smp_given;
    bool has_tmm; /* -object tmm-guest: what it leaves out is none */
    struct qemu_number tmm_sve, tmm_pmu;
    struct qemu_number cpu_sve, cpu_pmu; /* origin empty: -cpu does not say */
    struct error *err;
};

static int no_memory(struct error *err)
{
    return error_set(err, ENOMEM, "out of memory");
}

static void set_number(struct qemu_number *n, unsigned value, const char *fmt, ...) _printf_(3, 4);
static void set_number(struct qemu_number *n, unsigned value, const char *fmt, ...)
{
    va_list ap;
    n->value = value;
    va_start(ap, fmt);
    vsnprintf(n->origin, sizeof(n->origin), fmt, ap);
    va_end(ap);
}

/* The last one counts, as with QEMU. */
static int replace(struct parse *p, char **slot, const char *value)
{
    char *copy = strdup(value);
    if (!copy)
        return no_memory(p->err);
    free(*slot);
    *slot = copy;
    return 0;
}

/* ---- firmware and kernel ---- */

static int take_bios(struct parse *p, const char *value)
{
    return replace(p, &p->c->firmware, value);
}

static int take_kernel(struct parse *p, const char *value)
{
    return replace(p, &p->c->kernel, value);
}

static int take_initrd(struct parse *p, const char *value)
{
    return replace(p, &p->c->initrd, value);
}

static int take_machine(struct parse *p, const char *value)
{
    static const struct {
        const char *key;
        int (*take)(struct parse *p, const char *value);
    } keys[] = {{"firmware", take_bios}, {"kernel", take_kernel}, {"initrd", take_initrd}};
    _free_ char *node = option_value(value, "pflash0");
    int r = 0;

    if (node)
        return error_hint(
            p->err,
            error_set(p->err, EINVAL,
                      "-machine pflash0=%s: the firmware is behind a -blockdev, which is not "
                      "followed here",
                      node),
            "write the firmware as -drive if=pflash,format=raw,readonly=on,file=FIRMWARE");
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(keys); i++) {
        _free_ char *found = option_value(value, keys[i].key);
        r = found ? keys[i].take(p, found) : 0;
    }
    return r;
}

/* The unit of a pflash drive: as stated, else the first that is free, as QEMU counts. */
static int pflash_unit(struct parse *p, const char *value, unsigned *ret)
{
    _free_ char *stated = option_value(value, "unit");
    _free_ char *index = option_value(value, "index");
    const char *number = stated ? stated : index;
    unsigned unit = 0;

    if (number)
        unit = number[0] >= '0' && number[0] <= '9' && !number[1] ? (unsigned)(number[0] - '0')
                                                                  : PFLASH_UNITS;
    else
        while (p->pflash_units & (1u << unit))
            unit++;
    if (unit >= PFLASH_UNITS || p->pflash_units & (1u << unit))
        return error_set(p->err, EINVAL, "-drive %s: which pflash unit? Expected a free one",
                         value);
    p->pflash_units |= 1u << unit;
    *ret = unit;
    return 0;
}

static int take_pflash(struct parse *p, const char *value)
{
    unsigned unit;
    int r = pflash_unit(p, "", &unit);
    return r < 0 || unit > 0 ? r : replace(p, &p->flash, value);
}

static int take_drive(struct parse *p, const char *value)
{
    _free_ char *interface = option_value(value, "if");
    unsigned unit;

    if (!interface || strcmp(interface, "pflash") != 0)
        return 0;
    int r = pflash_unit(p, value, &unit);
    if (r < 0 || unit > 0)
        return r;
    _free_ char *file = option_value(value, "file");
    _free_ char *format = option_value(value, "format");
    if (!file)
        return error_set(p->err, EINVAL, "-drive %s: expected file=FIRMWARE", value);
    if (format && strcmp(format, "raw") != 0)
        return error_hint(p->err,
                          error_set(p->err, EINVAL,
                                    "-drive %s: expected a firmware in format raw, found %s", value,
                                    format),
                          "convert it with: qemu-img convert -O raw %s FIRMWARE", file);
    return replace(p, &p->flash, file);
}

static int refuse_readconfig(struct parse *p, const char *value)
{
    return error_hint(p->err,
                      error_set(p->err, EINVAL, "-readconfig %s: it is not read here", value),
                      "write what it says as options");
}

/* ---- numbers ---- */

static int take_smp(struct parse *p, const char *value)
{
    unsigned n;
    if (p->smp_given)
        return error_hint(p->err, error_set(p->err, EINVAL, "-smp %s: given twice", value),
                          "keep the one that counts");
    int r = vcpus_parse(value, &n, p->err);
    if (r < 0)
        return r;
    p->smp_given = true;
    set_number(&p->c->vcpus, n, "-smp %s", value);
    return 0;
}

static bool says(const char *list, const char *key, const char *const words[])
{
    _free_ char *value = option_value(list, key);
    for (; value && *words; words++)
        if (strcmp(value, *words) == 0)
            return true;
    return false;
}

/* QEMU's words for a switch (its qapi_bool_parse). */
static const char *const words_on[] = {"on", "yes", "true", "y", NULL};
static const char *const words_off[] = {"off", "no", "false", "n", NULL};

/* sveN=on permits vectors of N bits, and with it all that are shorter: the largest counts. */
static unsigned largest_sve(const char *cpu)
{
    for (unsigned bits = RIM_SVE_BITS_MAX; bits > 0; bits -= 128) {
        char key[16];
        snprintf(key, sizeof(key), "sve%u", bits);
        if (says(cpu, key, words_on))
            return bits;
    }
    return 0;
}

static int take_cpu(struct parse *p, const char *value)
{
    unsigned sve = largest_sve(value);
    bool off = says(value, "sve", words_off);

    p->cpu_sve = p->cpu_pmu = (struct qemu_number){0};
    if (off && sve == 0)
        set_number(&p->cpu_sve, 0, "-cpu …,sve=off");
    else if (!off && sve > 0)
        set_number(&p->cpu_sve, sve, "-cpu …,sve%u=on", sve);
    if (says(value, "pmu", words_off))
        set_number(&p->cpu_pmu, 0, "-cpu …,pmu=off");
    return 0;
}

/* A property of an object in either of QEMU's notations, as text. NULL: not there, or no memory. */
static char *property(const char *list, const json_t *object, const char *key)
{
    char *text;
    const json_t *j = json_object_get(object, key);
    if (!object)
        return option_value(list, key);
    if (json_is_string(j))
        return strdup(json_string_value(j));
    if (!json_is_integer(j))
        return NULL;
    return asprintf(&text, "%" JSON_INTEGER_FORMAT, json_integer_value(j)) < 0 ? NULL : text;
}

static int take_count(struct parse *p, struct qemu_number *n, const char *key, unsigned max,
                      const char *text)
{
    char *end;
    unsigned long v = text ? strtoul(text, &end, 0) : 0;

    if (!text) {
        set_number(n, 0, "the default of -object tmm-guest");
        return 0;
    }
    if (*text < '0' || *text > '9' || *end || v > max)
        return error_set(p->err, EINVAL,
                         "-object tmm-guest: %s: expected a number from 0 to %u, found \"%s\"", key,
                         max, text);
    set_number(n, (unsigned)v, "-object tmm-guest,%s=%s", key, text);
    return 0;
}

/* virtCCA's QEMU tells the TMM of SVE and PMU by this object alone. */
static int take_object(struct parse *p, const char *value)
{
    _json_ json_t *object = NULL;
    if (*value == '{' && json_parse(&object, BYTES_STR(value), "-object", p->err) < 0)
        return 0; /* QEMU will say what is wrong with it */
    _free_ char *stated = property(value, object, "qom-type");
    _free_ char *bare = object ? NULL : option_value(value, NULL);
    const char *type = stated ? stated : bare ? bare : "";
    if (strcmp(type, "tmm-guest") != 0)
        return 0;

    _free_ char *hash = property(value, object, "measurement-algo");
    _free_ char *sve = property(value, object, "sve-vector-length");
    _free_ char *pmu = property(value, object, "num-pmu-counters");
    if (hash && strcmp(hash, "sha256") != 0 && strcmp(hash, "default") != 0)
        return error_set(p->err, EINVAL,
                         "-object tmm-guest: expected measurement-algo=sha256, found %s", hash);
    p->has_tmm = true;
    int r = take_count(p, &p->tmm_sve, "sve-vector-length", RIM_SVE_BITS_MAX, sve);
    return r < 0 ? r : take_count(p, &p->tmm_pmu, "num-pmu-counters", RIM_PMU_COUNTERS_MAX, pmu);
}

/* ---- the whole ---- */

static int pass_over(struct parse *p, const char *value)
{
    (void)p;
    (void)value;
    return 0;
}

static const struct option_reader {
    const char *name;
    int (*take)(struct parse *p, const char *value);
} readers[] = {
    {"append", pass_over}, /* whose value may begin with - */
    {"bios", take_bios},       {"cpu", take_cpu},
    {"drive", take_drive},     {"initrd", take_initrd},
    {"kernel", take_kernel},   {"M", take_machine},
    {"machine", take_machine}, {"object", take_object},
    {"pflash", take_pflash},   {"readconfig", refuse_readconfig},
    {"smp", take_smp},
};

static const struct option_reader *find_reader(const char *argument)
{
    if (*argument != '-')
        return NULL;
    argument += argument[1] == '-' ? 2 : 1;
    for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
        if (strcmp(readers[i].name, argument) == 0)
            return &readers[i];
    return NULL;
}

/*
 * Of an option that is not read here it is unknown whether it takes a value; that need not be
 * known, since no value of one looks like an option that is.
 */
static int read_all(struct parse *p, char *const argv[])
{
    int r = 0;
    for (size_t i = 1; r == 0 && argv[i]; i++) {
        const struct option_reader *reader = find_reader(argv[i]);
        if (!reader)
            continue;
        if (!argv[i + 1])
            return error_set(p->err, EINVAL, "%s: its value is missing", argv[i]);
        r = reader->take(p, argv[++i]);
    }
    return r;
}

static int settle_files(struct parse *p)
{
    struct qemu_command *c = p->c;
    if (c->firmware && p->flash)
        return error_set(p->err, EINVAL, "two firmwares: %s and, as pflash unit 0, %s", c->firmware,
                         p->flash);
    if (p->flash)
        c->firmware = TAKE_PTR(p->flash);
    if (!c->firmware && !c->kernel)
        return error_hint(
            p->err,
            error_set(p->err, EINVAL, "QEMU's command line names neither a firmware nor a kernel"),
            "give it -bios FIRMWARE, -drive if=pflash,format=raw,readonly=on,file=FIRMWARE, "
            "or -kernel IMAGE");
    return 0;
}

static void settle(struct qemu_number *ret, bool has_tmm, const struct qemu_number *tmm,
                   const struct qemu_number *cpu, const char *option)
{
    if (has_tmm)
        *ret = *tmm;
    else if (cpu->origin[0])
        *ret = *cpu;
    else
        set_number(ret, 0, "assumed: neither %s, -object tmm-guest nor -cpu says", option);
}

int qemu_command_parse(struct qemu_command *ret, char *const argv[], struct error *err)
{
    _qemu_command_ struct qemu_command c = {0};
    struct parse p = {.c = &c, .err = err};
    set_number(&c.vcpus, 1, "QEMU's default: no -smp");
    int r = read_all(&p, argv);
    if (r == 0)
        r = settle_files(&p);
    free(p.flash);
    if (r < 0)
        return r;
    settle(&c.sve_bits, p.has_tmm, &p.tmm_sve, &p.cpu_sve, "-s");
    settle(&c.pmu_counters, p.has_tmm, &p.tmm_pmu, &p.cpu_pmu, "-m");
    *ret = c;
    c = (struct qemu_command){0};
    return 0;
}

void qemu_command_free(struct qemu_command *c)
{
    free(c->firmware);
    free(c->kernel);
    free(c->initrd);
    *c = (struct qemu_command){0};
}

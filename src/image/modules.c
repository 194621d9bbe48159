#include "image/modules.h"
#include "image/text.h"

#include <string.h>

#define MODULES_MAX 512 /* in an initramfs */
#define DEPTH_MAX 64
#define NAME_MAX_ 128

/*
 * No device has an alias without a colon, so a module with this alias is loaded only for the
 * sake of one that depends on it.
 */
#define ALIAS_DEPENDENCY "dependency"

/*
 * What the agent may need. BY_DEVICE: when a device with one of its aliases appears. ALWAYS: at
 * start. NEEDED: the same, and no volume can be opened without it.
 */
enum when { BY_DEVICE, ALWAYS, NEEDED };
static const struct wanted {
    const char *name;
    enum when when;
} wanted[] = {
    {"virtio_pci", BY_DEVICE},
    {"virtio_mmio", BY_DEVICE},
    {"virtio_blk", BY_DEVICE},
    {"virtio_scsi", BY_DEVICE},
    {"sd_mod", BY_DEVICE},
    {"nvme", BY_DEVICE},
    {"ahci", BY_DEVICE},
    {"virtio_net", BY_DEVICE},
    {"virtio_console", BY_DEVICE},
    {"tpm_tis", BY_DEVICE},
    {"tpm_crb", BY_DEVICE},
    {"tpm_ftpm_tee", BY_DEVICE},
    {"aesni_intel", BY_DEVICE},
    {"aes_ce_blk", BY_DEVICE},
    {"aes_neon_blk", BY_DEVICE},
    {"crc32c_intel", BY_DEVICE},
    {"af_packet", ALWAYS},
    {"dm_mod", NEEDED},
    {"dm_crypt", NEEDED},
    {"xts", NEEDED},
    {"ecb", ALWAYS},
    {"crc32c_generic", ALWAYS},
    {"ext4", NEEDED},
    {"tsm", ALWAYS},
    {"arm_cca_guest", ALWAYS},
    {"tsi", ALWAYS},
    {"virtcca_tsi", ALWAYS},
    {"virtcca_cvm_guest", ALWAYS},
    {"cvm_guest", ALWAYS},
};

/* One line of modules.dep. */
struct known {
    char name[NAME_MAX_];
    struct bytes file;
    struct bytes depends; /* the rest of the line */
};

struct index {
    struct known *list; /* sorted by name */
    size_t count;
    const struct modules_lists *lists;
};

static int no_memory(struct error *err)
{
    return error_set(err, ENOMEM, "modules: out of memory");
}

/* "kernel/drivers/md/dm-crypt.ko.xz" → "dm_crypt". False for what is no module's path. */
static bool module_name(struct bytes path, char name[NAME_MAX_])
{
    size_t start = path.size;
    while (start > 0 && path.data[start - 1] != '/')
        start--;
    size_t n = 0;
    for (; start + n < path.size && path.data[start + n] != '.'; n++) {
        if (n == NAME_MAX_ - 1)
            return false;
        char c = (char)path.data[start + n];
        name[n] = c == '-' ? '_' : c;
    }
    name[n] = '\0';
    return n > 0 && path.size - start - n >= 3 && memcmp(path.data + start + n, ".ko", 3) == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct known *)a)->name, ((const struct known *)b)->name);
}

static int read_index(struct index *ix, struct error *err)
{
    struct bytes dep = ix->lists->dep;
    struct bytes line;
    size_t lines = 0;
    for (size_t at = 0; next_line(dep, &at, &line);)
        lines++;
    ix->list = calloc(lines + 1, sizeof(*ix->list));
    if (!ix->list)
        return no_memory(err);
    size_t number = 0;
    for (size_t at = 0; next_line(dep, &at, &line);) {
        number++;
        if (line.size == 0)
            continue;
        struct known *k = &ix->list[ix->count];
        const uint8_t *colon = memchr(line.data, ':', line.size);
        k->file = BYTES(line.data, colon ? (size_t)(colon - line.data) : 0);
        if (!colon || !module_name(k->file, k->name))
            return error_set(err, EBADMSG, "modules.dep: line %zu is not \"path: paths\"", number);
        k->depends = BYTES(colon + 1, line.size - k->file.size - 1);
        ix->count++;
    }
    qsort(ix->list, ix->count, sizeof(*ix->list), by_name);
    return 0;
}

static const struct known *find_known(const struct index *ix, const char *name)
{
    struct known key;
    if (snprintf(key.name, sizeof(key.name), "%s", name) >= NAME_MAX_)
        return NULL;
    return bsearch(&key, ix->list, ix->count, sizeof(key), by_name);
}

static bool is_builtin(const struct index *ix, const char *wanted_name)
{
    char name[NAME_MAX_];
    struct bytes line;
    for (size_t at = 0; next_line(ix->lists->builtin, &at, &line);)
        if (module_name(line, name) && strcmp(name, wanted_name) == 0)
            return true;
    return false;
}

static const struct wanted *find_wanted(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        if (strcmp(wanted[i].name, name) == 0)
            return &wanted[i];
    return NULL;
}

/* ---- the plan ---- */
static const struct planned_module *find_planned(const struct modules_plan *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->list[i].name, name) == 0)
            return &p->list[i];
    return NULL;
}

static void planned_free(struct planned_module *m)
{
    free(m->name);
    free(m->file);
    free(m->path);
    strings_free(m->aliases);
    strings_free(m->depends);
}

void modules_plan_free(struct modules_plan *p)
{
    for (size_t i = 0; i < p->count; i++)
        planned_free(&p->list[i]);
    free(p->list);
    *p = (struct modules_plan){0};
}

/* modules.alias: "alias PATTERN MODULE". Only patterns of devices ("pci:…") are of use. */
static int device_aliases(const struct index *ix, const char *name, char ***ret)
{
    struct bytes line;
    struct bytes words[3];
    for (size_t at = 0; next_line(ix->lists->alias, &at, &line);) {
        size_t n = 0;
        for (size_t pos = 0; n < 3 && next_word(line, &pos, &words[n]);)
            n++;
        if (n < 3 || !bytes_equal(words[0], BYTES_STR("alias")) ||
            !bytes_equal(words[2], BYTES_STR(name)) || !memchr(words[1].data, ':', words[1].size))
            continue;
        if (strings_add_n(ret, (const char *)words[1].data, words[1].size) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int choose_aliases(const struct index *ix, const char *name, char ***ret)
{
    const struct wanted *w = find_wanted(name);
    if (!w)
        return strings_add(ret, ALIAS_DEPENDENCY);
    return w->when == BY_DEVICE ? device_aliases(ix, name, ret) : 0;
}

static int add(struct modules_plan *p, const struct index *ix, const char *name, unsigned depth,
               char ***depends_of, struct error *err);

/* modules.dep lists the direct dependencies and those behind them. */
static int add_depends(struct modules_plan *p, const struct index *ix, const struct known *k,
                       unsigned depth, char ***depends, struct error *err)
{
    char name[NAME_MAX_];
    struct bytes word;
    for (size_t at = 0; next_word(k->depends, &at, &word);) {
        if (!module_name(word, name) || !find_known(ix, name))
            return error_set(err, EBADMSG, "modules.dep: %s needs %.*s, which is not there",
                             k->name, (int)word.size, (const char *)word.data);
        int r = add(p, ix, name, depth + 1, depends, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* A softdep names a module, or an alias that several may have ("crc32c"). */
static int add_softdep(struct modules_plan *p, const struct index *ix, struct bytes word,
                       unsigned depth, char ***depends, struct error *err)
{
    char name[NAME_MAX_];
    if (word.size >= sizeof(name))
        return 0;
    for (size_t i = 0; i < word.size; i++)
        name[i] = word.data[i] == '-' ? '_' : (char)word.data[i];
    name[word.size] = '\0';
    if (find_known(ix, name))
        return add(p, ix, name, depth + 1, depends, err);
    struct bytes line;
    struct bytes words[3];
    for (size_t at = 0; next_line(ix->lists->alias, &at, &line);) {
        size_t n = 0;
        for (size_t pos = 0; n < 3 && next_word(line, &pos, &words[n]);)
            n++;
        if (n < 3 || !bytes_equal(words[1], word) || words[2].size >= sizeof(name))
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)words[2].size, (const char *)words[2].data);
        int r = find_known(ix, name) ? add(p, ix, name, depth + 1, depends, err) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

/* modules.softdep: "softdep MODULE pre: a b post: c". What comes after is not needed to boot. */
static int add_softdeps(struct modules_plan *p, const struct index *ix, const char *module,
                        unsigned depth, char ***depends, struct error *err)
{
    struct bytes line;
    struct bytes word;
    for (size_t at = 0; next_line(ix->lists->softdep, &at, &line);) {
        size_t pos = 0;
        bool pre = false;
        if (!next_word(line, &pos, &word) || !bytes_equal(word, BYTES_STR("softdep")) ||
            !next_word(line, &pos, &word) || !bytes_equal(word, BYTES_STR(module)))
            continue;
        while (next_word(line, &pos, &word)) {
            if (word.data[word.size - 1] == ':') {
                pre = bytes_equal(word, BYTES_STR("pre:"));
                continue;
            }
            int r = pre ? add_softdep(p, ix, word, depth, depends, err) : 0;
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int describe(struct planned_module *m, const struct index *ix, const struct known *k)
{
    const char *slash = memrchr(k->file.data, '/', k->file.size);
    const char *base = slash ? slash + 1 : (const char *)k->file.data;
    const char *end = (const char *)k->file.data + k->file.size;
    const char *dot = memchr(base, '.', (size_t)(end - base));
    m->name = strdup(k->name);
    m->file = strndup((const char *)k->file.data, k->file.size);
    if (asprintf(&m->path, "/lib/modules/%.*s.ko", (int)(dot - base), base) < 0)
        m->path = NULL;
    if (!m->name || !m->file || !m->path)
        return -ENOMEM;
    return choose_aliases(ix, k->name, &m->aliases);
}

static int append(struct modules_plan *p, const struct index *ix, const struct known *k,
                  char ***depends, struct error *err)
{
    struct planned_module *longer = realloc(p->list, (p->count + 1) * sizeof(*longer));
    if (!longer)
        return no_memory(err);
    p->list = longer;
    struct planned_module m = {0};
    if (describe(&m, ix, k) < 0) {
        planned_free(&m);
        return no_memory(err);
    }
    m.depends = TAKE_PTR(*depends);
    p->list[p->count++] = m;
    return 0;
}

/* Add a module behind all that it needs, and its path to `depends_of` (the list of whoever needs
 * it, or NULL). */
static int add(struct modules_plan *p, const struct index *ix, const char *name, unsigned depth,
               char ***depends_of, struct error *err)
{
    const struct known *k = find_known(ix, name);
    _strings_ char **depends = NULL;
    int r = 0;
    if (depth > DEPTH_MAX || p->count >= MODULES_MAX)
        return error_set(err, EBADMSG, "modules.dep: %s depends on itself, or on too much", name);
    if (!find_planned(p, name)) {
        r = add_depends(p, ix, k, depth, &depends, err);
        if (r == 0)
            r = add_softdeps(p, ix, name, depth, &depends, err);
        if (r == 0)
            r = append(p, ix, k, &depends, err);
    }
    if (r < 0 || !depends_of)
        return r;
    const char *path = find_planned(p, name)->path;
    if (!strings_contain(*depends_of, path) && strings_add(depends_of, path) < 0)
        return no_memory(err);
    return 0;
}

static int add_wanted(struct modules_plan *p, const struct index *ix, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        const char *name = wanted[i].name;
        int r = 0;
        if (find_known(ix, name))
            r = add(p, ix, name, 0, NULL, err);
        else if (wanted[i].when == NEEDED && !is_builtin(ix, name))
            r = error_set(err, ENOENT, "the kernel has no %s, neither as a module nor built in",
                          name);
        if (r < 0)
            return r;
    }
    return 0;
}

int modules_plan_make(struct modules_plan *ret, const struct modules_lists *lists,
                      struct error *err)
{
    struct index ix = {.lists = lists};
    _modules_plan_ struct modules_plan p = {0};
    int r = read_index(&ix, err);
    if (r == 0)
        r = add_wanted(&p, &ix, err);
    free(ix.list);
    if (r < 0)
        return r;
    *ret = p;
    p = (struct modules_plan){0};
    return 0;
}

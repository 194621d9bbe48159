#include "agent/modules.h"

#include "agent/console.h"
#include "base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define ATTEMPTS_MAX 3
#define DEPTH_MAX 32 /* folders below /sys/devices */
#define MODALIAS_MAX 4096
#define DEVICES "/sys/devices"

struct module_state {
    bool loaded;
    unsigned attempts;
};

struct module_loader {
    const struct agent_config *config;
    struct module_state *states; /* one for each module of the configuration */
    size_t loaded;
};

struct module_loader *module_loader_new(const struct agent_config *config)
{
    struct module_loader *l = calloc(1, sizeof(*l));
    struct module_state *states = calloc(config->module_count + 1, sizeof(*states));
    if (!l || !states) {
        free(l);
        free(states);
        return NULL;
    }
    l->config = config;
    l->states = states;
    return l;
}

void module_loader_free(struct module_loader *l)
{
    if (!l)
        return;
    free(l->states);
    free(l);
}

bool module_matches(const struct agent_module *m, const char *modalias)
{
    for (char *const *pattern = m->aliases; *pattern; pattern++)
        if (fnmatch(*pattern, modalias, 0) == 0)
            return true;
    return false;
}

static int insert(const char *path)
{
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (syscall(SYS_finit_module, fd, "", 0) == 0 || errno == EEXIST)
        return 0;
    return -errno;
}

static void load(struct module_loader *l, size_t index);

static void load_named(struct module_loader *l, size_t before, const char *path)
{
    for (size_t i = 0; i < before; i++)
        if (strcmp(l->config->modules[i].path, path) == 0)
            load(l, i);
}

/* Ends: a module's dependencies have smaller numbers (agent_config_parse sees to it). */
static void load(struct module_loader *l, size_t index)
{
    const struct agent_module *m = &l->config->modules[index];
    struct module_state *s = &l->states[index];
    if (s->loaded || s->attempts >= ATTEMPTS_MAX)
        return;
    s->attempts++;
    for (char *const *d = m->depends; *d; d++)
        load_named(l, index, *d);
    int r = insert(m->path);
    if (r < 0) {
        /* ENODEV is a driver's way to say that its device is not there after all. */
        if (r != -ENODEV && s->attempts == 1)
            say("module %s: %s", m->path, strerror(-r));
        return;
    }
    s->loaded = true;
    l->loaded++;
}

static void load_for(struct module_loader *l, const char *modalias)
{
    for (size_t i = 0; i < l->config->module_count; i++)
        if (!l->states[i].loaded && module_matches(&l->config->modules[i], modalias))
            load(l, i);
}

static void read_modalias(struct module_loader *l, int folder)
{
    _close_ int fd = openat(folder, "modalias", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    _buffer_ struct buffer text = {.max = MODALIAS_MAX};
    if (read_fd(fd, "modalias", MODALIAS_MAX - 1, &text, NULL) < 0 || text.size == 0 ||
        buffer_append(&text, "", 1) < 0)
        return;
    /* The CPU's alias file may hold several lines. */
    char *save = NULL;
    for (char *line = strtok_r((char *)text.data, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save))
        load_for(l, line);
}

static void walk(struct module_loader *l, int parent, const char *name, unsigned depth)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return;
    }
    read_modalias(l, fd);
    const struct dirent *e;
    while ((e = readdir(dir)))
        if (e->d_type == DT_DIR && e->d_name[0] != '.' && depth < DEPTH_MAX)
            walk(l, fd, e->d_name, depth + 1);
    closedir(dir);
}

size_t module_loader_pass(struct module_loader *l)
{
    size_t before = l->loaded;
    for (size_t i = 0; i < l->config->module_count; i++)
        if (!l->config->modules[i].aliases[0])
            load(l, i);
    if (l->loaded < l->config->module_count)
        walk(l, AT_FDCWD, DEVICES, 0);
    return l->loaded - before;
}

void module_loader_settle(struct module_loader *l)
{
    while (module_loader_pass(l) > 0)
        ;
}

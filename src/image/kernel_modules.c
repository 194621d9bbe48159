#include "image/kernel_modules.h"
#include "measure/decompress.h"
#include "image/layout.h"

#include <string.h>

void kernel_modules_free(struct kernel_modules *m)
{
    for (size_t i = 0; m->files && i < m->plan.count; i++)
        buffer_free(&m->files[i]);
    free(m->files);
    free(m->content);
    modules_plan_free(&m->plan);
    *m = (struct kernel_modules){0};
}

static int read_list(struct filesystem *root, const char *version, const char *name,
                     struct buffer *ret, struct error *err)
{
    _free_ char *path = NULL;
    if (asprintf(&path, "/lib/modules/%s/%s", version, name) < 0)
        return error_set(err, ENOMEM, "out of memory");
    return read_if_there(root, path, MODULES_LISTS_MAX, ret, err);
}

static int make_plan(struct modules_plan *ret, struct filesystem *root, const char *version,
                     struct error *err)
{
    static const char *const names[] = {"modules.dep", "modules.alias", "modules.softdep",
                                        "modules.builtin"};
    struct buffer texts[ARRAY_SIZE(names)] = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(names); i++)
        r = read_list(root, version, names[i], &texts[i], err);
    struct modules_lists lists = {.dep = buffer_bytes(&texts[0]),
                                  .alias = buffer_bytes(&texts[1]),
                                  .softdep = buffer_bytes(&texts[2]),
                                  .builtin = buffer_bytes(&texts[3])};
    if (r == 0)
        r = modules_plan_make(ret, &lists, err);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        buffer_free(&texts[i]);
    return r;
}

/* Decompressed, since the agent hands files to the kernel as they are. A signature appended to
 * the module is inside the compressed file, so it stays. */
static int read_module(struct filesystem *root, const char *version, const struct planned_module *m,
                       struct buffer *ret, struct error *err)
{
    _free_ char *path = NULL;
    _buffer_ struct buffer file = {0};
    const char *folder = m->file[0] == '/' ? "" : "/lib/modules/";
    if (asprintf(&path, "%s%s%s%s", folder, *folder ? version : "", *folder ? "/" : "", m->file) <
        0)
        return error_set(err, ENOMEM, "out of memory");
    int r = filesystem_read_file(root, path, MODULE_FILE_MAX, &file, err);
    if (r == 0)
        r = decompress(ret, buffer_bytes(&file), MODULE_FILE_MAX, err);
    if (r == 0 && (ret->size < 4 || memcmp(ret->data, "\177ELF", 4) != 0))
        r = error_set(err, EBADMSG, "not a kernel module");
    return r < 0 ? error_prefix(err, r, "%s", path) : 0;
}

static int read_all(struct kernel_modules *m, struct filesystem *root, const char *version,
                    struct error *err)
{
    int r = make_plan(&m->plan, root, version, err);
    if (r < 0)
        return r;
    m->files = calloc(m->plan.count + 1, sizeof(*m->files));
    m->content = calloc(m->plan.count + 1, sizeof(*m->content));
    if (!m->files || !m->content)
        return error_set(err, ENOMEM, "out of memory");
    size_t total = 0;
    for (size_t i = 0; r == 0 && i < m->plan.count; i++) {
        r = read_module(root, version, &m->plan.list[i], &m->files[i], err);
        m->content[i] = (struct initramfs_module){.path = m->plan.list[i].path,
                                                  .content = buffer_bytes(&m->files[i])};
        total += m->files[i].size;
        if (r == 0 && total > INITRAMFS_MAX)
            r = error_set(err, EFBIG, "together larger than the limit of %zu bytes", INITRAMFS_MAX);
    }
    return r;
}

int kernel_modules_read(struct kernel_modules *ret, struct filesystem *root, const char *version,
                        struct error *err)
{
    _kernel_modules_ struct kernel_modules m = {0};
    int r = read_all(&m, root, version, err);
    if (r < 0)
        return error_prefix(err, r, "modules of kernel %s", version);
    *ret = m;
    m = (struct kernel_modules){0};
    return 0;
}

int kernel_modules_for_agent(const struct kernel_modules *m, struct agent_module **ret,
                             struct error *err)
{
    static char *none[] = {NULL};
    struct agent_module *list = calloc(m->plan.count + 1, sizeof(*list));
    if (!list)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < m->plan.count; i++) {
        const struct planned_module *p = &m->plan.list[i];
        list[i] = (struct agent_module){.path = p->path,
                                        .aliases = p->aliases ? p->aliases : none,
                                        .depends = p->depends ? p->depends : none};
    }
    *ret = list;
    return 0;
}

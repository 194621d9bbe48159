#include "image/bootplan.h"
#include "image/cmdline.h"
#include "image/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static int no_memory(struct error *err)
{
    return error_set(err, ENOMEM, "out of memory");
}

static void entry_free(struct boot_entry *e)
{
    free(e->title);
    free(e->id);
    free(e->kernel);
    free(e->version);
    strings_free(e->args);
    strings_free(e->initrds);
    *e = (struct boot_entry){0};
}

void bootplan_free(struct bootplan *p)
{
    for (size_t i = 0; i < p->count; i++)
        entry_free(&p->entries[i]);
    for (size_t i = 0; i < p->removed_count; i++) {
        free(p->removed[i].title);
        free(p->removed[i].reason);
    }
    free(p->entries);
    free(p->removed);
    strings_free(p->terminal);
    *p = (struct bootplan){0};
}

/* Variables that GRUB would expand are shown as they were written. */
static char *readable(const char *word)
{
    char *out = malloc(2 * strlen(word) + 1);
    char *o = out;
    for (; out && *word; word++) {
        if (*word == GRUBCFG_VAR_OPEN) {
            *o++ = '$';
            *o++ = '{';
        } else {
            *o++ = *word == GRUBCFG_VAR_CLOSE ? '}' : *word;
        }
    }
    if (out)
        *o = '\0';
    return out;
}

static int add_removed(struct bootplan *p, const char *title, const char *reason, struct error *err)
{
    struct removed_entry *longer = realloc(p->removed, (p->removed_count + 1) * sizeof(*longer));
    if (!longer)
        return no_memory(err);
    p->removed = longer;
    struct removed_entry e = {.title = readable(title), .reason = strdup(reason)};
    if (!e.title || !e.reason) {
        free(e.title);
        free(e.reason);
        return no_memory(err);
    }
    p->removed[p->removed_count++] = e;
    return 0;
}

int bootplan_remove(struct bootplan *p, size_t i, const char *reason, struct error *err)
{
    int r = add_removed(p, p->entries[i].title, reason, err);
    if (r < 0)
        return r;
    entry_free(&p->entries[i]);
    p->count--;
    memmove(&p->entries[i], &p->entries[i + 1], (p->count - i) * sizeof(*p->entries));
    return 0;
}

const char *kernel_version_of(const char *path)
{
    static const char *const prefixes[] = {"vmlinuz-",  "vmlinux-", "kernel-", "Image-",
                                           "Image.gz-", "bzImage-", "linux-"};
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
        if (starts_with(name, prefixes[i]) && name[strlen(prefixes[i])])
            return name + strlen(prefixes[i]);
    return NULL;
}

/* ---- one entry ---- */
static bool is_one_of(const char *word, const char *const names[])
{
    for (; *names; names++)
        if (strcmp(word, *names) == 0)
            return true;
    return false;
}

static const char *const linux_commands[] = {"linux", "linuxefi", "linux16", NULL};
static const char *const initrd_commands[] = {"initrd", "initrdefi", "initrd16", NULL};

/* Commands that start something other than a Linux of ours, or let the configuration grow. */
static const struct {
    const char *command;
    const char *reason;
} foreign[] = {
    {"chainloader", "starts another boot loader"},
    {"fwsetup", "enters the firmware's setup"},
    {"multiboot", "starts a hypervisor or another kernel"},
    {"multiboot2", "starts a hypervisor or another kernel"},
    {"xen_hypervisor", "starts a hypervisor"},
    {"knetbsd", "starts another system"},
    {"kfreebsd", "starts another system"},
    {"devicetree", "loads a device tree of its own"},
    {"configfile", "reads another configuration file"},
    {"source", "reads another configuration file"},
    {"kexec", "starts another kernel"},
};

static const char *foreign_reason(const struct grub_command *c)
{
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
        if (strcmp(c->words[0], foreign[i].command) == 0)
            return foreign[i].reason;
    return NULL;
}

/* The UUID that a `search` looks for, or NULL. */
static const char *searched_uuid(const struct grub_command *c)
{
    bool by_uuid = strcmp(c->words[0], "search.fs_uuid") == 0;
    if (by_uuid)
        return c->words[1];
    if (strcmp(c->words[0], "search") != 0)
        return NULL;
    const char *last = NULL;
    for (size_t i = 1; c->words[i]; i++) {
        by_uuid |= strcmp(c->words[i], "--fs-uuid") == 0 || strcmp(c->words[i], "-u") == 0;
        if (c->words[i][0] != '-')
            last = c->words[i];
    }
    return by_uuid ? last : NULL;
}

/* What the commands of one entry's body come to, before they are judged. */
struct body {
    const struct grub_command *linux_command;
    const char *reason; /* why it cannot stay */
    char **initrds;
};

static void look_at(struct body *b, const struct grub_command *c,
                    const struct bootplan_checks *checks)
{
    const char *reason = foreign_reason(c);
    const char *uuid = searched_uuid(c);
    if (!reason && uuid && strcasecmp(uuid, checks->boot_uuid) != 0)
        reason = "its kernel is on another filesystem";
    if (is_one_of(c->words[0], linux_commands)) {
        if (c->conditional)
            reason = "its kernel depends on a condition";
        else if (b->linux_command)
            reason = "it loads two kernels";
        b->linux_command = c;
    }
    if (!b->reason)
        b->reason = reason;
}

static int look_at_body(struct body *b, const struct grub_config *c, size_t entry,
                        const struct bootplan_checks *checks, struct error *err)
{
    for (size_t i = 0; i < c->command_count; i++) {
        const struct grub_command *command = &c->commands[i];
        if (command->entry != (int)entry)
            continue;
        look_at(b, command, checks);
        if (is_one_of(command->words[0], initrd_commands) && !command->conditional)
            for (size_t k = 1; command->words[k]; k++)
                if (strings_add(&b->initrds, command->words[k]) < 0)
                    return no_memory(err);
    }
    return 0;
}

/* Ubuntu's "$vt_handoff" is empty on every console that a guest has. */
static bool vanishes(const char *word)
{
    return strcmp(word, GRUBCFG_VAR("vt_handoff")) == 0;
}

/*
 * GRUB quotes for blanks only, with quotes and backslashes in front of which it puts a backslash;
 * Linux knows quotes but no backslash, and splits at every byte that it takes for a blank, 0xa0
 * too (lib/ctype.c). With such bytes the kernel would see other words than we judge.
 */
static bool reads_the_same(const char *word)
{
    for (const unsigned char *c = (const unsigned char *)word; *c; c++)
        if (*c <= ' ' || *c >= 0x7f || strchr("\"'\\", *c))
            return false;
    return true;
}

static int copy_args(struct boot_entry *e, const struct grub_command *c, const char **reason,
                     struct error *err)
{
    for (size_t i = 2; c->words[i]; i++) {
        bool fatal = false;
        const char *hatch = cmdline_hatch(c->words[i], &fatal);
        if (vanishes(c->words[i]))
            continue;
        if (grub_word_has_variable(c->words[i]))
            *reason = "its command line has a variable";
        else if (!reads_the_same(c->words[i]))
            *reason = "its command line has a quoted blank, a quote, a backslash or a byte that is "
                      "not ASCII";
        else if (hatch && fatal)
            *reason = hatch;
        if (strings_add(&e->args, c->words[i]) < 0)
            return no_memory(err);
    }
    return 0;
}

static const char *kernel_path_reason(const char *path)
{
    if (!path)
        return "its linux command names no kernel";
    if (grub_word_has_variable(path))
        return "the path of its kernel has a variable";
    if (!reads_the_same(path))
        return "the path of its kernel has a blank, a quote, a backslash or a byte that is not "
               "ASCII";
    if (path[0] != '/')
        return "its kernel is named by a device, not by a path in /boot";
    if (strstr(path, "memtest"))
        return "a memory test";
    return kernel_version_of(path) ? NULL : "the name of its kernel says no version";
}

static int fill_entry(struct boot_entry *e, const struct grub_config *c, size_t number,
                      const struct body *b, const struct bootplan_checks *checks,
                      const char **reason, struct error *err)
{
    const char *path = b->linux_command->words[1];
    *reason = kernel_path_reason(path);
    if (*reason)
        return 0;
    int r = copy_args(e, b->linux_command, reason, err);
    if (r < 0 || *reason)
        return r;
    e->number = number;
    e->title = readable(c->entries[number].title);
    e->id = c->entries[number].id ? readable(c->entries[number].id) : NULL;
    e->kernel = strdup(path);
    e->version = strdup(kernel_version_of(path));
    if (!e->title || (c->entries[number].id && !e->id) || !e->kernel || !e->version)
        return no_memory(err);
    for (char **i = b->initrds; i && *i; i++) {
        if (grub_word_has_variable(*i) || **i != '/')
            continue; /* it is replaced, or measured as missing */
        if (strings_add(&e->initrds, *i) < 0)
            return no_memory(err);
    }
    *reason = checks->kernel ? checks->kernel(checks->arg, e->kernel, e->version) : NULL;
    return 0;
}

static int plan_entry(struct bootplan *p, const struct grub_config *c, size_t number,
                      const struct bootplan_checks *checks, struct error *err)
{
    struct body b = {0};
    struct boot_entry e = {0};
    int r = look_at_body(&b, c, number, checks, err);
    const char *reason = b.reason;
    if (r == 0 && !reason && c->entries[number].conditional)
        reason = "it is in the menu under a condition only";
    if (r == 0 && !reason && !b.linux_command)
        reason = "it starts no Linux kernel";
    if (r == 0 && !reason)
        r = fill_entry(&e, c, number, &b, checks, &reason, err);
    if (r == 0 && reason)
        r = add_removed(p, c->entries[number].title, reason, err);
    else if (r == 0) {
        p->entries[p->count++] = e; /* room for all was made at the start */
        e = (struct boot_entry){0};
    }
    entry_free(&e);
    strings_free(b.initrds);
    return r;
}

/* ---- the default entry ---- */
static bool is_number(const char *s)
{
    size_t n = strspn(s, "0123456789");
    return n > 0 && n < 6 && s[n] == '\0';
}

static int child_of(const struct grub_config *c, int parent, const char *which)
{
    int position = 0;
    for (size_t i = 0; i < c->entry_count; i++) {
        const struct grub_entry *e = &c->entries[i];
        if (e->parent != parent)
            continue;
        if ((e->id && strcmp(e->id, which) == 0) || strcmp(e->title, which) == 0 ||
            (is_number(which) && position == (int)strtol(which, NULL, 10)))
            return (int)i;
        position++;
    }
    return -1;
}

/* "1>2", "submenu>id" (GRUB manual, 15.1.4 "default"); -1 when nothing has that name. */
static int find_entry(const struct grub_config *c, const char *spec)
{
    _free_ char *copy = strdup(spec);
    int at = -1;
    char *save = NULL;
    for (char *part = copy ? strtok_r(copy, ">", &save) : NULL; part;
         part = strtok_r(NULL, ">", &save)) {
        at = child_of(c, at, part);
        if (at < 0)
            return -1;
    }
    while (at >= 0 && c->entries[at].submenu)
        at = child_of(c, at, "0");
    return at;
}

/* A variable of the environment block: lines "name=value" in 1024 bytes padded with '#'. */
static char *grubenv_get(const char *grubenv, const char *name)
{
    struct bytes line;
    struct bytes text = BYTES_STR(grubenv);
    size_t n = strlen(name);
    for (size_t at = 0; next_line(text, &at, &line);)
        if (line.size > n && memcmp(line.data, name, n) == 0 && line.data[n] == '=')
            return strndup((const char *)line.data + n + 1, line.size - n - 1);
    return NULL;
}

/* The value of the last `set NAME=value` that is known without running anything. Owned. */
static char *last_set(const struct grub_config *c, const char *name, const char *grubenv)
{
    char *found = NULL;
    size_t n = strlen(name);
    for (size_t i = 0; i < c->command_count; i++) {
        char *const *w = c->commands[i].words;
        const char *assignment = strcmp(w[0], "set") == 0 ? w[1] : w[0];
        if (c->commands[i].entry >= 0 || !assignment || !starts_with(assignment, name) ||
            assignment[n] != '=')
            continue;
        const char *value = assignment + n + 1;
        char *known = NULL;
        if (strcmp(value, GRUBCFG_VAR("saved_entry")) == 0)
            known = grubenv ? grubenv_get(grubenv, "saved_entry") : NULL;
        else if (!grub_word_has_variable(value))
            known = strdup(value);
        if (known) {
            free(found);
            found = known;
        }
    }
    return found;
}

static void default_first(struct bootplan *p, const struct grub_config *c, const char *grubenv)
{
    _free_ char *spec = last_set(c, "default", grubenv);
    int number = find_entry(c, spec ? spec : "0");
    for (size_t i = 1; number >= 0 && i < p->count; i++) {
        if (p->entries[i].number != (size_t)number)
            continue;
        struct boot_entry e = p->entries[i];
        memmove(&p->entries[1], &p->entries[0], i * sizeof(e));
        p->entries[0] = e;
        return;
    }
}

static void find_timeout(struct bootplan *p, const struct grub_config *c)
{
    _free_ char *text = last_set(c, "timeout", NULL);
    if (text && strcmp(text, "-1") == 0)
        p->timeout = -1;
    else if (text && is_number(text))
        p->timeout = (int)strtol(text, NULL, 10);
}

/* ---- consoles ---- */
static bool plain_words(char *const *words)
{
    for (; *words; words++)
        for (const char *c = *words; *c; c++)
            if (!isalnum((unsigned char)*c) && !strchr("_-=+.", *c))
                return false;
    return true;
}

static int carry_terminal(struct bootplan *p, const struct grub_config *c, struct error *err)
{
    static const char *const names[] = {"serial", "terminal_input", "terminal_output", "terminal",
                                        NULL};
    for (size_t i = 0; i < c->command_count; i++) {
        const struct grub_command *command = &c->commands[i];
        /* gfxterm would need a font from the disk. */
        if (command->entry >= 0 || command->conditional || !is_one_of(command->words[0], names) ||
            !plain_words(command->words) || strings_contain(command->words, "gfxterm"))
            continue;
        _buffer_ struct buffer line = {0};
        int r = 0;
        for (char **w = command->words; r == 0 && *w; w++)
            r = buffer_printf(&line, "%s%s", w == command->words ? "" : " ", *w);
        if (r < 0 || strings_add_n(&p->terminal, (char *)line.data, line.size) < 0)
            return no_memory(err);
    }
    return 0;
}

int bootplan_make(struct bootplan *ret, const struct grub_config *c,
                  const struct bootplan_checks *checks, struct error *err)
{
    _bootplan_ struct bootplan p = {0};
    p.entries = calloc(c->entry_count + 1, sizeof(*p.entries));
    if (!p.entries)
        return no_memory(err);
    for (size_t i = 0; i < c->entry_count; i++) {
        if (c->entries[i].submenu)
            continue;
        int r = plan_entry(&p, c, i, checks, err);
        if (r < 0)
            return r;
    }
    int r = carry_terminal(&p, c, err);
    if (r < 0)
        return r;
    default_first(&p, c, checks->grubenv);
    find_timeout(&p, c);
    *ret = p;
    p = (struct bootplan){0};
    return 0;
}

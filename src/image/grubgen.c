#include "image/grubgen.h"
#include "image/text.h"

#include <ctype.h>
#include <string.h>

/* ---- writing ---- */
static bool needs_quotes(const char *word)
{
    for (const char *c = word; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_-./:,=+@%", *c))
            return true;
    return *word == '\0';
}

/* In single quotes nothing is special to GRUB but the quote itself. */
static int put_word(struct buffer *b, const char *word, bool quote)
{
    int r = quote ? buffer_append(b, "'", 1) : 0;
    for (const char *c = word; r == 0 && *c; c++)
        r = *c == '\'' ? buffer_append(b, "'\\''", 4) : buffer_append(b, c, 1);
    return r == 0 && quote ? buffer_append(b, "'", 1) : r;
}

int grubgen_header(struct buffer *ret, const struct bootplan *p)
{
    int r = buffer_printf(ret, GRUBGEN_MARK
                          " This file is measured: with any change the guest gets no key.\n"
                          "set superusers=\"\"\nexport superusers\n");
    for (char **line = p->terminal; r == 0 && line && *line; line++)
        r = buffer_printf(ret, "%s\n", *line);
    return r < 0 ? r : buffer_printf(ret, "set timeout=%d\nset default=0\n", p->timeout);
}

int grubgen_entry(struct buffer *ret, const struct grubgen_entry *e, const char *boot_uuid)
{
    int r = buffer_printf(ret, "menuentry ");
    if (r == 0)
        r = put_word(ret, e->title, true);
    if (r == 0 && e->id)
        r = buffer_printf(ret, " --id ");
    if (r == 0 && e->id)
        r = put_word(ret, e->id, true);
    if (r == 0)
        r = buffer_printf(ret,
                          " --unrestricted {\n\tsearch --no-floppy --fs-uuid --set=root %s\n"
                          "\tlinux ",
                          boot_uuid);
    if (r == 0)
        r = put_word(ret, e->kernel, needs_quotes(e->kernel));
    for (char *const *a = e->args; r == 0 && a && *a; a++) {
        r = buffer_append(ret, " ", 1);
        if (r == 0)
            r = put_word(ret, *a, needs_quotes(*a));
    }
    if (r == 0)
        r = buffer_printf(ret, "\n\tinitrd ");
    if (r == 0)
        r = put_word(ret, e->initrd, needs_quotes(e->initrd));
    return r < 0 ? r : buffer_printf(ret, "\n}\n");
}

int grubgen_stub(struct buffer *ret, const char *boot_uuid, const char *path)
{
    /* `prefix` stays where it is: with one on the boot filesystem, GRUB would read its lists of
     * modules from there (grub-core/normal/main.c, read_lists). */
    int r = buffer_printf(ret,
                          GRUBGEN_MARK "\nsearch --no-floppy --fs-uuid --set=root %s\n"
                                       "configfile ($root)",
                          boot_uuid);
    if (r == 0)
        r = put_word(ret, path, needs_quotes(path));
    return r < 0 ? r : buffer_append(ret, "\n", 1);
}

/* ---- reading ---- */
void grub_stub_free(struct grub_stub *s)
{
    free(s->uuid);
    free(s->path);
    free(s->prefix);
    *s = (struct grub_stub){0};
}

static int replace(char **field, const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    free(*field);
    *field = copy;
    return 0;
}

/* "($root)/grub" → "/grub"; "$prefix/grub.cfg" → prefix + "/grub.cfg"; else NULL. Owned. */
static char *path_of(const struct grub_stub *s, const char *word)
{
    static const char root[] = "(" GRUBCFG_VAR("root") ")";
    static const char prefix[] = GRUBCFG_VAR("prefix");
    char *out = NULL;
    if (starts_with(word, root) && !grub_word_has_variable(word + strlen(root)))
        out = strdup(word + strlen(root));
    else if (starts_with(word, prefix) && s->prefix &&
             !grub_word_has_variable(word + strlen(prefix)) &&
             asprintf(&out, "%s%s", s->prefix, word + strlen(prefix)) < 0)
        out = NULL;
    return out;
}

static bool stub_search(struct grub_stub *s, char *const *words, int *r)
{
    const char *uuid = NULL;
    bool by_uuid = strcmp(words[0], "search.fs_uuid") == 0;
    bool sets_root = by_uuid && words[1] && words[2] && strcmp(words[2], "root") == 0;
    if (by_uuid) {
        uuid = words[1];
    } else {
        for (size_t i = 1; words[i]; i++) {
            if (strcmp(words[i], "--fs-uuid") == 0 || strcmp(words[i], "-u") == 0)
                by_uuid = true;
            else if (strcmp(words[i], "--set=root") == 0)
                sets_root = true;
            else if (words[i][0] != '-' && !uuid)
                uuid = words[i];
            else if (strcmp(words[i], "--no-floppy") != 0 && !starts_with(words[i], "--hint"))
                return false;
        }
    }
    if (!by_uuid || !sets_root || !uuid || grub_word_has_variable(uuid) || s->uuid)
        return false;
    *r = replace(&s->uuid, uuid);
    return true;
}

/* True: a command that a plain stub may hold. */
static bool stub_command(struct grub_stub *s, char *const *w, int *r)
{
    if (strcmp(w[0], "search") == 0 || strcmp(w[0], "search.fs_uuid") == 0)
        return stub_search(s, w, r);
    if (strcmp(w[0], "set") == 0 && w[1] && starts_with(w[1], "prefix=") && !w[2]) {
        char *path = path_of(s, w[1] + strlen("prefix="));
        free(s->prefix);
        s->prefix = path;
        return path != NULL;
    }
    if (strcmp(w[0], "configfile") == 0 && w[1] && !w[2] && !s->path) {
        s->path = path_of(s, w[1]);
        return s->path != NULL && s->uuid != NULL;
    }
    return false;
}

int grub_stub_read(struct grub_stub *ret, const struct grub_config *c, struct error *err)
{
    _grub_stub_ struct grub_stub s = {.plain = c->entry_count == 0};
    for (size_t i = 0; i < c->command_count; i++) {
        int r = 0;
        bool after = s.path != NULL;
        bool ok = stub_command(&s, c->commands[i].words, &r);
        if (r < 0)
            return error_set(err, ENOMEM, "out of memory");
        s.plain &= ok && !after && !c->commands[i].conditional;
    }
    s.plain &= s.path != NULL;
    *ret = s;
    s = (struct grub_stub){0};
    return 0;
}

#include "image/fstab.h"
#include "image/text.h"

#include <string.h>

#define ENTRIES_MAX 1024

static bool octal(uint8_t c)
{
    return c >= '0' && c <= '7';
}

/* "\040" is a space (fstab(5)); quotes around a tag's value (UUID="…") are dropped as libmount
 * does. */
static char *unescape(struct bytes word)
{
    char *out = malloc(word.size + 1);
    if (!out)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < word.size; i++) {
        const uint8_t *c = word.data + i;
        if (*c == '\\' && word.size - i > 3 && octal(c[1]) && octal(c[2]) && octal(c[3])) {
            out[n++] = (char)((c[1] - '0') << 6 | (c[2] - '0') << 3 | (c[3] - '0'));
            i += 3;
        } else if (*c != '"') {
            out[n++] = (char)*c;
        }
    }
    out[n] = '\0';
    return out;
}

static void entry_free(struct fstab_entry *e)
{
    free(e->source);
    free(e->target);
    free(e->type);
    free(e->options);
}

void fstab_free(struct fstab *t)
{
    for (size_t i = 0; i < t->count; i++)
        entry_free(&t->entries[i]);
    free(t->entries);
    *t = (struct fstab){0};
}

static int add_entry(struct fstab *t, const struct bytes words[4])
{
    struct fstab_entry *longer = realloc(t->entries, (t->count + 1) * sizeof(*longer));
    if (!longer)
        return -ENOMEM;
    t->entries = longer;
    struct fstab_entry e = {.source = unescape(words[0]),
                            .target = unescape(words[1]),
                            .type = unescape(words[2]),
                            .options = unescape(words[3])};
    if (!e.source || !e.target || !e.type || !e.options) {
        entry_free(&e);
        return -ENOMEM;
    }
    t->entries[t->count++] = e;
    return 0;
}

int fstab_parse(struct fstab *ret, struct bytes text, struct error *err)
{
    _fstab_ struct fstab t = {0};
    struct bytes line;
    for (size_t at = 0; t.count < ENTRIES_MAX && next_line(text, &at, &line);) {
        struct bytes words[4] = {0};
        size_t n = 0;
        for (size_t pos = 0; n < ARRAY_SIZE(words) && next_word(line, &pos, &words[n]);)
            n++;
        if (n < 3 || words[0].data[0] == '#')
            continue;
        if (n < 4)
            words[3] = BYTES_STR("defaults");
        if (add_entry(&t, words) < 0)
            return error_set(err, ENOMEM, "out of memory");
    }
    *ret = t;
    t = (struct fstab){0};
    return 0;
}

static bool same_target(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    while (n > 1 && a[n - 1] == '/')
        n--;
    while (m > 1 && b[m - 1] == '/')
        m--;
    return n == m && strncmp(a, b, n) == 0;
}

const struct fstab_entry *fstab_find(const struct fstab *t, const char *target)
{
    for (size_t i = 0; i < t->count; i++)
        if (same_target(t->entries[i].target, target))
            return &t->entries[i];
    return NULL;
}

#include "measure/qemu_options.h"

#include <string.h>

/* One member of a list; the end of it is at a comma that is not doubled, or at the NUL. */
struct member {
    const char *start;
    size_t size;
    size_t key_size; /* 0: a bare word */
};

static bool next_member(const char **at, struct member *ret)
{
    const char *p = *at;

    if (!*p)
        return false;
    *ret = (struct member){.start = p};
    for (; *p && (*p != ',' || p[1] == ','); p++) {
        if (*p == ',')
            p++;
        else if (*p == '=' && ret->key_size == 0)
            ret->key_size = (size_t)(p - ret->start);
    }
    ret->size = (size_t)(p - ret->start);
    *at = *p ? p + 1 : p;
    return true;
}

static bool member_is(const struct member *m, const char *key)
{
    size_t size = m->key_size ? m->key_size : m->size;

    return strlen(key) == size && memcmp(m->start, key, size) == 0;
}

static char *undouble_commas(const char *p, size_t size)
{
    char *out = malloc(size + 1);
    size_t n = 0;

    if (!out)
        return NULL;
    for (size_t i = 0; i < size; i++) {
        out[n++] = p[i];
        if (p[i] == ',' && i + 1 < size && p[i + 1] == ',')
            i++;
    }
    out[n] = '\0';
    return out;
}

char *option_value(const char *list, const char *key)
{
    struct member m;
    const char *at = list;

    for (bool first = true; next_member(&at, &m); first = false) {
        if (!key && first && m.key_size == 0)
            return undouble_commas(m.start, m.size);
        if (key && m.key_size && member_is(&m, key))
            return undouble_commas(m.start + m.key_size + 1, m.size - m.key_size - 1);
    }
    return NULL;
}

static int append_member(struct buffer *out, bool *first, const char *p, size_t size)
{
    int r = *first ? 0 : buffer_append(out, ",", 1);

    *first = false;
    return r < 0 ? r : buffer_append(out, p, size);
}

char *option_replace(const char *list, const char *key, const char *value)
{
    _buffer_ struct buffer out = {0};
    struct member m;
    const char *at = list;
    bool first = true;
    int r = 0;

    while (r == 0 && next_member(&at, &m)) {
        if (!m.key_size || !member_is(&m, key)) {
            r = append_member(&out, &first, m.start, m.size);
            continue;
        }
        r = append_member(&out, &first, m.start, m.key_size + 1);
        if (r == 0)
            r = buffer_append(&out, value, strlen(value));
    }
    if (r < 0 || buffer_append(&out, "", 1) < 0)
        return NULL;
    return (char *)TAKE_PTR(out.data);
}

int option_filter(const char *list, const char *const keys[], bool only, struct buffer *out)
{
    struct member m;
    const char *at = list;
    bool first = true;
    int r = 0;

    while (r == 0 && next_member(&at, &m)) {
        bool listed = false;
        for (size_t i = 0; keys[i]; i++)
            listed |= member_is(&m, keys[i]);
        if (listed == only)
            r = append_member(out, &first, m.start, m.size);
    }
    return r;
}

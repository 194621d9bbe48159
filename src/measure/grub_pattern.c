#include "measure/grub_pattern.h"

#include <string.h>

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

/* At the space before a word that may be missing. */
static bool is_optional(const char *p)
{
    return p[0] == ' ' && p[1] == '*' && (p[2] == ' ' || p[2] == '\0');
}

static bool same_byte(const char **p, uint8_t c)
{
    const char *literal = *p + (**p == '\\' && (*p)[1] != '\0');
    if (*literal == '\0' || (uint8_t)*literal != c)
        return false;
    *p = literal + 1;
    return true;
}

/*
 * No * reaches beyond its word, so within a word the last * alone needs to be tried at other
 * lengths, and only the words that may be missing are a choice: the work is bounded by the size of
 * the text, whoever wrote it.
 */
static bool matches(const char *p, const uint8_t *t, const uint8_t *end, unsigned missing)
{
    const char *star = NULL; /* behind the last * */
    const uint8_t *value = NULL, *value_end = NULL;
    for (;;) {
        if (missing > 0 && is_optional(p) && matches(p + 2, t, end, missing - 1))
            return true;
        if (*p == '\0' && t == end)
            return true;
        if (*p == '*') {
            star = ++p;
            value = value_end = t;
        } else if (t < end && same_byte(&p, *t)) {
            t++;
        } else if (star && value_end < end && !is_blank(*value_end) &&
                   value_end - value < GRUB_PATTERN_VALUE_MAX) {
            p = star;
            t = ++value_end;
        } else {
            return false;
        }
    }
}

bool grub_pattern_matches(const char *pattern, struct bytes text)
{
    if (text.size == 0)
        text = BYTES_STR("");
    return matches(pattern, text.data, text.data + text.size, GRUB_PATTERN_MISSING_MAX);
}

int grub_pattern_put(struct buffer *b, struct bytes text)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '*' || c == '\\')
            r = buffer_append(b, "\\", 1);
        if (r == 0)
            r = buffer_append(b, &c, 1);
    }
    return r;
}

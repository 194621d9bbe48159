#include "image/text.h"

#include <errno.h>
#include <string.h>

int strings_add_n(char ***list, const char *s, size_t n)
{
    size_t count = strings_count(*list);
    char *copy = strndup(s, n);
    char **longer = copy ? realloc(*list, (count + 2) * sizeof(*longer)) : NULL;
    if (!longer) {
        free(copy);
        return -ENOMEM;
    }
    longer[count] = copy;
    longer[count + 1] = NULL;
    *list = longer;
    return 0;
}

int strings_add(char ***list, const char *s)
{
    return strings_add_n(list, s, strlen(s));
}

size_t strings_count(char *const *list)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

bool strings_contain(char *const *list, const char *s)
{
    for (; list && *list; list++)
        if (strcmp(*list, s) == 0)
            return true;
    return false;
}

void strings_free(char **list)
{
    for (char **s = list; s && *s; s++)
        free(*s);
    free(list);
}

bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

bool next_line(struct bytes text, size_t *at, struct bytes *line)
{
    if (*at >= text.size)
        return false;
    const uint8_t *start = text.data + *at;
    const uint8_t *end = memchr(start, '\n', text.size - *at);
    size_t n = end ? (size_t)(end - start) : text.size - *at;
    *at += n + (end ? 1 : 0);
    if (n > 0 && start[n - 1] == '\r')
        n--;
    *line = BYTES(start, n);
    return true;
}

static bool blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

bool next_word(struct bytes line, size_t *at, struct bytes *word)
{
    while (*at < line.size && blank(line.data[*at]))
        ++*at;
    size_t start = *at;
    while (*at < line.size && !blank(line.data[*at]))
        ++*at;
    if (*at == start)
        return false;
    *word = BYTES(line.data + start, *at - start);
    return true;
}

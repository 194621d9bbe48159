#include "cli/table.h"
#include "cli/plain_text.h"

#include <stdarg.h>
#include <string.h>

struct table table_of(const char *const *heads)
{
    struct table t = {.heads = heads};
    while (heads[t.columns])
        t.columns++;
    return t;
}

static char *escaped(const char *text)
{
    char *ret = NULL;
    size_t size;
    FILE *out = open_memstream(&ret, &size);
    if (!out)
        return NULL;
    plain_print(out, *text ? text : "-");
    return fclose(out) == 0 ? ret : NULL;
}

void table_add(struct table *t, const char *text)
{
    if (t->count == t->capacity) {
        size_t n = t->capacity ? 2 * t->capacity : 64;
        char **more = reallocarray(t->cells, n, sizeof(*more));
        if (!more) {
            t->lost = true;
            return;
        }
        t->cells = more;
        t->capacity = n;
    }
    char *cell = escaped(text);
    t->lost |= !cell;
    if (cell)
        t->cells[t->count++] = cell;
}

void table_addf(struct table *t, const char *fmt, ...)
{
    _free_ char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    if (text)
        table_add(t, text);
    else
        t->lost = true;
}

/* Characters of UTF-8, which are columns for most alphabets. */
static size_t width(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void print_line(FILE *out, const char *const *cells, size_t columns, const size_t *widths)
{
    for (size_t c = 0; c < columns; c++) {
        fputs(cells[c], out);
        if (c + 1 < columns)
            fprintf(out, "%*s", (int)(widths[c] - width(cells[c]) + 2), "");
    }
    fputc('\n', out);
}

int table_print(FILE *out, const struct table *t, const char *none, struct error *err)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    if (t->lost)
        return error_set(err, ENOMEM, "out of memory");
    if (t->count == 0) {
        fprintf(out, "%s\n", none);
        return 0;
    }
    for (size_t c = 0; c < t->columns; c++)
        widths[c] = width(t->heads[c]);
    for (size_t i = 0; i < t->count; i++) {
        size_t n = width(t->cells[i]);
        if (n > widths[i % t->columns])
            widths[i % t->columns] = n;
    }
    print_line(out, t->heads, t->columns, widths);
    for (size_t i = 0; i + t->columns <= t->count; i += t->columns)
        print_line(out, (const char *const *)t->cells + i, t->columns, widths);
    return 0;
}

void table_free(struct table *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct table){0};
}

#include "base/suggest.h"

#include <stddef.h>
#include <string.h>

#define LENGTH_MAX 64

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: insertions, deletions, substitutions, swaps of neighbours. */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t rows[3][LENGTH_MAX + 1]; /* of the last three letters of `a` */
    for (size_t j = 0; j <= b_size; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        const size_t *before = rows[(i + 1) % 3], *above = rows[(i + 2) % 3];
        size_t *row = rows[i % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            row[j] = min(above[j], row[j - 1]) + 1;
            row[j] = min(row[j], above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = min(row[j], before[j - 2] + 1);
        }
    }
    return rows[a_size % 3][b_size];
}

bool looks_like(const char *typed, const char *name)
{
    size_t a = strlen(typed), b = strlen(name);
    return a <= LENGTH_MAX && b <= LENGTH_MAX && 3 * distance(typed, a, name, b) <= b;
}

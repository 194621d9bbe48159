/* Lines in columns, each as wide as its widest cell: nothing is cut. */
#ifndef ENCROOT_CLI_TABLE_H
#define ENCROOT_CLI_TABLE_H

#include "base/error.h"

#include <stdbool.h>

#define TABLE_COLUMNS_MAX 10

struct table {
    const char *const *heads; /* ends with NULL */
    char **cells;             /* owned; line by line */
    size_t columns, count, capacity;
    bool lost; /* out of memory */
};

struct table table_of(const char *const *heads);
/* The next cell. What others may have written is escaped (cli/plain_text.h); "" shows as "-". */
void table_add(struct table *t, const char *text);
void table_addf(struct table *t, const char *fmt, ...) _printf_(2, 3);
/* Heads and lines. Without any line: `none`. -ENOMEM. */
int table_print(FILE *out, const struct table *t, const char *none, struct error *err) _must_use_;
void table_free(struct table *t);
#define _table_ _cleanup_(table_free)

#endif

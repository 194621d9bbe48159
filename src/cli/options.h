/*
 * Options are a const table that both parses and explains them.
 */
#ifndef ENCROOT_CLI_OPTIONS_H
#define ENCROOT_CLI_OPTIONS_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum option_kind {
    OPTION_FLAG,   /* bool * */
    OPTION_STRING, /* const char **; the last one counts */
    OPTION_LIST,   /* struct option_list *: may be given several times */
    OPTION_UINT,   /* uint64_t *, decimal, between min and max */
    OPTION_MAYBE,  /* const char **; "" when given alone: --name, --name=TEXT, or --name TEXT if
                      is_argument says that TEXT is one */
};

#define OPTION_LIST_MAX 64
struct option_list {
    const char *items[OPTION_LIST_MAX];
    size_t count;
};

struct option_spec {
    char letter;      /* 0: no short form */
    const char *name; /* without the dashes */
    enum option_kind kind;
    const char *argument; /* "FILE"; NULL for flags */
    const char *text;     /* what it does, default included */
    void *value;
    uint64_t min, max;                     /* OPTION_UINT */
    bool (*is_argument)(const char *word); /* OPTION_MAYBE */
};

struct usage {
    const char *synopsis;              /* "encroot unlock -i IP -m RIM -f hash.json [OPTION...]" */
    const char *about;                 /* a few sentences */
    const struct option_spec *options; /* ends at name == NULL; --help is added */
    const char *example;               /* may be NULL */
};

#define OPTIONS_DONE (-1)
/*
 * Parse. Returns OPTIONS_DONE and the index of the first operand in *operands, or an exit code to
 * return at once: EXIT_OK after --help, EXIT_USAGE after a message. Without `operands`, operands
 * are an error.
 */
int options_parse(const struct usage *u, int argc, char **argv, int *operands);

/* "encroot: TEXT" and "see: encroot unlock --help"; returns EXIT_USAGE. */
int usage_error(const struct usage *u, const char *fmt, ...) _printf_(2, 3);

/* "encroot: <chain>" and the hint, on stderr; with `json`, an object on stdout. Returns `code`. */
int report_error(const struct error *err, int code, bool json);
/* The exit code that fits a negative errno of a library call about a file. */
int exit_code_for(int r);

#endif

#include "cli/options.h"
#include "cli/command.h"
#include "cli/plain_text.h"

#include <getopt.h>
#include <stdarg.h>
#include <string.h>

#define OPTIONS_MAX 40
#define HELP_VALUE 1000 /* long options without a letter get HELP_VALUE + 1 + index */

static void print_option(const struct option_spec *o)
{
    static const char *const around[][2] = {{" ", ""}, {"[=", "]"}};
    char left[64];
    const char *text = o->text;
    bool maybe = o->kind == OPTION_MAYBE;
    snprintf(left, sizeof(left), "%c%c%c --%s%s%s%s", o->letter ? '-' : ' ',
             o->letter ? o->letter : ' ', o->letter ? ',' : ' ', o->name,
             o->argument ? around[maybe][0] : "", o->argument ? o->argument : "",
             o->argument ? around[maybe][1] : "");
    /* Every line of the text begins in the same column. */
    printf("  %-28s", left);
    if (strlen(left) > 27)
        printf("\n%30s", "");
    for (const char *p = text; *p; p++) {
        putchar(*p);
        if (*p == '\n')
            printf("%30s", "");
    }
    putchar('\n');
}

static void print_help(const struct usage *u)
{
    printf("Usage: %s\n\n%s\n\nOptions:\n", u->synopsis, u->about);
    for (const struct option_spec *o = u->options; o->name; o++)
        print_option(o);
    print_option(&(const struct option_spec){'h', "help", OPTION_FLAG, NULL, "show this help"});
    if (u->example)
        printf("\nExample:\n%s\n", u->example);
}

int usage_error(const struct usage *u, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("encroot: ", stderr);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nusage: %s\n", u->synopsis);
    return EXIT_USAGE;
}

static int parse_uint(const struct usage *u, const struct option_spec *o, const char *text)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno || *end || strspn(text, "0123456789") != strlen(text) || !*text || v < o->min ||
        v > o->max)
        return usage_error(u, "--%s: expected a number from %llu to %llu, found \"%s\"", o->name,
                           (unsigned long long)o->min, (unsigned long long)o->max, text);
    *(uint64_t *)o->value = v;
    return OPTIONS_DONE;
}

static int store(const struct usage *u, const struct option_spec *o, const char *text)
{
    struct option_list *list = o->value;
    switch (o->kind) {
    case OPTION_FLAG:
        *(bool *)o->value = true;
        return OPTIONS_DONE;
    case OPTION_STRING:
        *(const char **)o->value = text;
        return OPTIONS_DONE;
    case OPTION_MAYBE:
        *(const char **)o->value = text ? text : "";
        return OPTIONS_DONE;
    case OPTION_LIST:
        if (list->count == OPTION_LIST_MAX)
            return usage_error(u, "--%s: given more than %d times", o->name, OPTION_LIST_MAX);
        list->items[list->count++] = text;
        return OPTIONS_DONE;
    default:
        return parse_uint(u, o, text);
    }
}

static const struct option_spec *find(const struct usage *u, int c)
{
    for (size_t i = 0; u->options[i].name; i++)
        if (c == (u->options[i].letter ? u->options[i].letter : HELP_VALUE + 1 + (int)i))
            return &u->options[i];
    return NULL;
}

/* getopt's tables, from ours. */
static void build_tables(const struct usage *u, struct option *longs, char *shorts)
{
    size_t s = 0, i = 0;
    shorts[s++] = ':'; /* report a missing argument as such; no messages of getopt's own */
    shorts[s++] = 'h';
    for (; u->options[i].name && i < OPTIONS_MAX; i++) {
        const struct option_spec *o = &u->options[i];
        int argument = o->kind == OPTION_FLAG    ? no_argument
                       : o->kind == OPTION_MAYBE ? optional_argument
                                                 : required_argument;
        longs[i] = (struct option){o->name, argument, NULL,
                                   o->letter ? o->letter : HELP_VALUE + 1 + (int)i};
        if (o->letter)
            shorts[s++] = o->letter;
        if (o->letter && argument == required_argument)
            shorts[s++] = ':';
    }
    longs[i] = (struct option){"help", no_argument, NULL, 'h'};
    longs[i + 1] = (struct option){0};
    shorts[s] = '\0';
}

/* getopt takes an argument that may be missing only from behind a "=". A word can be nothing else
 * where there are no operands: whoever reads the argument says what is wrong with it. */
static const char *maybe_argument(const struct option_spec *o, int argc, char **argv, bool operands)
{
    bool next = o->kind == OPTION_MAYBE && !optarg && optind < argc && o->is_argument &&
                (o->is_argument(argv[optind]) || (!operands && argv[optind][0] != '-'));
    return next ? argv[optind++] : optarg;
}

int options_parse(const struct usage *u, int argc, char **argv, int *operands)
{
    struct option longs[OPTIONS_MAX + 2];
    char shorts[2 * OPTIONS_MAX + 3];
    build_tables(u, longs, shorts);
    optind = 0;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
        if (c == 'h') {
            print_help(u);
            return EXIT_OK;
        }
        if (c == ':')
            return usage_error(u, "%s needs an argument", argv[optind - 1]);
        const struct option_spec *o = c == '?' ? NULL : find(u, c);
        if (!o && optopt && optopt < HELP_VALUE)
            return usage_error(u, "unknown option -%c", optopt);
        if (!o)
            return usage_error(u, "unknown option %s", argv[optind - 1]);
        int r = store(u, o, maybe_argument(o, argc, argv, operands != NULL));
        if (r != OPTIONS_DONE)
            return r;
    }
    if (!operands && optind < argc)
        return usage_error(u, "unexpected \"%s\"", argv[optind]);
    if (operands)
        *operands = optind;
    return OPTIONS_DONE;
}

int report_error(const struct error *err, int code, bool json)
{
    if (json) {
        _json_ json_t *o = json_object();
        json_object_set_new(o, "error", plain_json(err->text));
        json_object_set_new(o, "exit", json_integer(code));
        if (err->hint[0])
            json_object_set_new(o, "hint", plain_json(err->hint));
        json_dumpf(o, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
        putchar('\n');
        return code;
    }
    fputs("encroot: ", stderr);
    plain_print(stderr, err->text);
    fputs(err->hint[0] ? "\nhint: " : "", stderr);
    plain_print(stderr, err->hint);
    fputc('\n', stderr);
    return code;
}

int exit_code_for(int r)
{
    static const struct {
        int code;
        enum exit_code exit;
    } table[] = {
        {ENOENT, EXIT_BAD_INPUT},   {EINVAL, EXIT_BAD_INPUT},      {EBADMSG, EXIT_BAD_INPUT},
        {ENODATA, EXIT_BAD_INPUT},  {EUCLEAN, EXIT_BAD_INPUT},     {EFBIG, EXIT_BAD_INPUT},
        {E2BIG, EXIT_BAD_INPUT},    {EEXIST, EXIT_BAD_INPUT},      {EPERM, EXIT_BAD_INPUT},
        {EACCES, EXIT_BAD_INPUT},   {EOPNOTSUPP, EXIT_BAD_INPUT},  {EISDIR, EXIT_BAD_INPUT},
        {ENOTDIR, EXIT_BAD_INPUT},  {EMEDIUMTYPE, EXIT_BAD_INPUT}, {EALREADY, EXIT_BAD_INPUT},
        {ENOTUNIQ, EXIT_BAD_INPUT}, {EOVERFLOW, EXIT_BAD_INPUT},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (table[i].code == -r)
            return table[i].exit;
    return r < 0 ? EXIT_FAILED : EXIT_OK;
}

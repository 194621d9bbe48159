#include "image/grubcfg.h"
#include "image/text.h"

#include <ctype.h>
#include <string.h>

#define ENTRIES_MAX 1024
#define COMMANDS_MAX 32768
#define WORDS_MAX 1024

/* What `case` blocks of the parser's stack stand for. */
enum block {
    BLOCK_ENTRY,     /* menuentry or submenu { … } */
    BLOCK_GROUP,     /* { … } */
    BLOCK_CONDITION, /* if … fi, while … done, for … done */
    BLOCK_FUNCTION,  /* function name { … } */
};

struct level {
    enum block block;
    const char *closer; /* "}", "fi", "done" */
    unsigned line;
};

enum token { TOKEN_END, TOKEN_WORD, TOKEN_SEPARATOR, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_BAD };

struct parser {
    struct bytes in;
    size_t at;
    unsigned line;
    const char *name;
    struct error *err;
    struct buffer word; /* the last TOKEN_WORD, NUL-terminated */
    bool quoted;        /* some of it was quoted: no keyword */
    bool negated;       /* the command's result, by "!" */
    struct level stack[GRUBCFG_DEPTH_MAX];
    size_t depth;
    int entry; /* whose body we are in */
    struct grub_config config;
};

static int bad(struct parser *p, const char *what)
{
    return error_set(p->err, EBADMSG, "%s: line %u: %s", p->name, p->line, what);
}

static int no_memory(struct parser *p)
{
    return error_set(p->err, ENOMEM, "%s: out of memory", p->name);
}

/* ---- words ---- */
static int peek(const struct parser *p, size_t ahead)
{
    return p->in.size - p->at > ahead ? p->in.data[p->at + ahead] : -1;
}

static int put(struct parser *p, int c)
{
    char byte = (char)c;
    return buffer_append(&p->word, &byte, 1) < 0 ? no_memory(p) : 0;
}

static bool name_start(int c)
{
    return c == '_' || (c > 0 && c < 128 && isalpha(c));
}

static bool name_char(int c)
{
    return name_start(c) || (c >= '0' && c <= '9');
}

/* After '$'. yylex.l: NAME, DIGITS or one of ?#*@, bare or in braces; any other '$' is itself. */
static int read_variable(struct parser *p)
{
    size_t i = 1;
    bool braces = peek(p, i) == '{';
    i += braces;
    size_t start = i;
    if (name_start(peek(p, i)))
        while (name_char(peek(p, i)))
            i++;
    else if (isdigit(peek(p, i) < 0 ? 0 : peek(p, i)))
        while (peek(p, i) >= '0' && peek(p, i) <= '9')
            i++;
    else if (peek(p, i) > 0 && strchr("?#*@", peek(p, i)))
        i++;
    size_t end = i;
    if (end == start || (braces && peek(p, i) != '}')) {
        p->at++;
        return put(p, '$');
    }
    int r = put(p, GRUBCFG_VAR_OPEN);
    for (size_t k = start; r == 0 && k < end; k++)
        r = put(p, peek(p, k));
    p->at += end + braces;
    return r < 0 ? r : put(p, GRUBCFG_VAR_CLOSE);
}

static int read_single_quoted(struct parser *p)
{
    p->at++;
    p->quoted = true;
    for (int c; (c = peek(p, 0)) != '\''; p->at++) {
        if (c < 0)
            return bad(p, "a single quote is not closed");
        p->line += c == '\n';
        if (put(p, c) < 0)
            return -ENOMEM;
    }
    p->at++;
    return 0;
}

static int read_double_quoted(struct parser *p)
{
    p->at++;
    p->quoted = true;
    for (int c; (c = peek(p, 0)) != '"';) {
        int r = 0;
        if (c < 0)
            return bad(p, "a double quote is not closed");
        p->line += c == '\n';
        if (c == '$') {
            r = read_variable(p);
        } else if (c == '\\' && peek(p, 1) > 0 && strchr("$\"\\`\n", peek(p, 1))) {
            p->line += peek(p, 1) == '\n';
            if (peek(p, 1) != '\n')
                r = put(p, peek(p, 1));
            p->at += 2;
        } else {
            r = put(p, c);
            p->at++;
        }
        if (r < 0)
            return r;
    }
    p->at++;
    return 0;
}

static int read_escaped(struct parser *p)
{
    int c = peek(p, 1);
    if (c < 0)
        return bad(p, "the file ends in a backslash");
    p->at += 2;
    p->line += c == '\n';
    p->quoted |= c != '\n';
    return c == '\n' ? 0 : put(p, c);
}

static bool ends_word(int c)
{
    return c < 0 || strchr(" \t\r\n;{}|&<>", c) != NULL;
}

static int read_word(struct parser *p)
{
    p->word.size = 0;
    p->quoted = false;
    for (int c; !ends_word(c = peek(p, 0));) {
        int r;
        if (c == '\'')
            r = read_single_quoted(p);
        else if (c == '"')
            r = read_double_quoted(p);
        else if (c == '\\')
            r = read_escaped(p);
        else if (c == '$')
            r = read_variable(p);
        else {
            r = put(p, c);
            p->at++;
        }
        if (r < 0)
            return r;
    }
    return put(p, '\0');
}

static void skip_blanks(struct parser *p)
{
    for (;; p->at++) {
        int c = peek(p, 0);
        if (c == '\\' && peek(p, 1) == '\n') {
            p->at++;
            p->line++;
        } else if (c == '#') {
            while (peek(p, 1) >= 0 && peek(p, 1) != '\n')
                p->at++;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            return;
        }
    }
}

static enum token next_token(struct parser *p)
{
    skip_blanks(p);
    int c = peek(p, 0);
    if (c < 0)
        return TOKEN_END;
    if (!ends_word(c))
        return read_word(p) < 0 ? TOKEN_BAD : TOKEN_WORD;
    p->at++;
    p->line += c == '\n';
    if (c == '{')
        return TOKEN_OPEN;
    return c == '}' ? TOKEN_CLOSE : TOKEN_SEPARATOR;
}

/* ---- blocks ---- */
static bool in_condition(const struct parser *p)
{
    for (size_t i = 0; i < p->depth; i++)
        if (p->stack[i].block == BLOCK_CONDITION || p->stack[i].block == BLOCK_FUNCTION)
            return true;
    return false;
}

static int open_block(struct parser *p, enum block block, const char *closer)
{
    if (p->depth == GRUBCFG_DEPTH_MAX)
        return bad(p, "nested too deeply");
    p->stack[p->depth++] = (struct level){.block = block, .closer = closer, .line = p->line};
    return 0;
}

static int close_block(struct parser *p, const char *closer)
{
    if (p->depth == 0 || strcmp(p->stack[p->depth - 1].closer, closer) != 0)
        return error_set(p->err, EBADMSG, "%s: line %u: \"%s\" closes nothing", p->name, p->line,
                         closer);
    if (p->stack[--p->depth].block == BLOCK_ENTRY) {
        struct grub_entry *e = &p->config.entries[p->entry];
        e->body.size = (size_t)(p->in.data + p->at - e->body.data) - strlen(closer);
        p->entry = e->parent;
    }
    return 0;
}

/* ---- commands ---- */
static int add_command(struct parser *p, char ***words, unsigned line)
{
    struct grub_config *c = &p->config;
    if (c->command_count == COMMANDS_MAX)
        return bad(p, "too many commands");
    if (c->command_count % 64 == 0) {
        struct grub_command *longer =
            realloc(c->commands, (c->command_count + 64) * sizeof(*longer));
        if (!longer)
            return no_memory(p);
        c->commands = longer;
    }
    c->commands[c->command_count++] = (struct grub_command){.words = TAKE_PTR(*words),
                                                            .negated = p->negated,
                                                            .entry = p->entry,
                                                            .conditional = in_condition(p),
                                                            .line = line};
    return 0;
}

/* Options of menuentry that take an argument (GRUB manual, 16.1.1). */
static bool takes_argument(const char *option)
{
    static const char *const options[] = {"--class", "--users", "--hotkey", "--source", "--id"};
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        if (strcmp(option, options[i]) == 0)
            return true;
    return false;
}

/* grub-mkconfig writes $menuentry_id_option, which is "--id" in every GRUB since 2.00. */
static const char *option_word(const char *word)
{
    return strcmp(word, GRUBCFG_VAR("menuentry_id_option")) == 0 ? "--id" : word;
}

static int describe_entry(struct parser *p, struct grub_entry *e, char *const *words)
{
    for (size_t i = 1; words[i]; i++) {
        const char *option = option_word(words[i]);
        if (takes_argument(option) && words[i + 1]) {
            i++;
            if (strcmp(option, "--id") == 0 && !e->id && !(e->id = strdup(words[i])))
                return no_memory(p);
        } else if (option[0] != '-' && !e->title && !(e->title = strdup(option))) {
            return no_memory(p);
        }
    }
    return e->title ? 0 : bad(p, "a menu entry without a title");
}

/* Behind the brace that opens its block. */
static int open_entry(struct parser *p, char ***words, unsigned line)
{
    struct grub_config *c = &p->config;
    if (c->entry_count == ENTRIES_MAX)
        return bad(p, "too many menu entries");
    struct grub_entry *longer = realloc(c->entries, (c->entry_count + 1) * sizeof(*longer));
    if (!longer)
        return no_memory(p);
    c->entries = longer;
    struct grub_entry *e = &c->entries[c->entry_count++];
    *e = (struct grub_entry){.parent = p->entry,
                             .submenu = strcmp((*words)[0], "submenu") == 0,
                             .body = {.data = p->in.data + p->at},
                             .conditional = in_condition(p),
                             .line = line};
    e->words = TAKE_PTR(*words);
    int r = describe_entry(p, e, e->words);
    if (r < 0)
        return r;
    p->entry = (int)(c->entry_count - 1);
    return open_block(p, BLOCK_ENTRY, "}");
}

static const struct keyword {
    const char *word;
    const char *opens;  /* the word that closes what this one opens */
    const char *closes; /* what this one closes */
} keywords[] = {
    {"if", "fi", NULL},   {"while", "done", NULL}, {"until", "done", NULL}, {"for", "done", NULL},
    {"fi", NULL, "fi"},   {"done", NULL, "done"},  {"then", NULL, NULL},    {"else", NULL, NULL},
    {"elif", NULL, NULL}, {"do", NULL, NULL},      {"!", NULL, NULL},
};

static const struct keyword *find_keyword(const char *word)
{
    for (size_t i = 0; i < ARRAY_SIZE(keywords); i++)
        if (strcmp(word, keywords[i].word) == 0)
            return &keywords[i];
    return NULL;
}

static int apply_keyword(struct parser *p, const struct keyword *k)
{
    p->negated |= strcmp(k->word, "!") == 0;
    if (k->opens)
        return open_block(p, BLOCK_CONDITION, k->opens);
    return k->closes ? close_block(p, k->closes) : 0;
}

static bool opens_menu(char *const *words)
{
    return strcmp(words[0], "menuentry") == 0 || strcmp(words[0], "submenu") == 0;
}

/* The command ended, by a separator, a brace or the end of the file. */
static int end_command(struct parser *p, char ***words, enum token by, unsigned line)
{
    if (by == TOKEN_OPEN) {
        if (!*words)
            return open_block(p, BLOCK_GROUP, "}");
        if (opens_menu(*words))
            return open_entry(p, words, line);
        if (strcmp((*words)[0], "function") == 0)
            return open_block(p, BLOCK_FUNCTION, "}");
        return bad(p, "unexpected \"{\"");
    }
    int r = *words ? add_command(p, words, line) : 0;
    return r == 0 && by == TOKEN_CLOSE ? close_block(p, "}") : r;
}

/* One command: keywords before it, its words, and what ends it. Returns the ending token. */
static int parse_command(struct parser *p, enum token *ended_by)
{
    _strings_ char **words = NULL;
    unsigned line = p->line;
    size_t count = 0;
    p->negated = false;
    for (;;) {
        enum token t = next_token(p);
        if (t == TOKEN_BAD)
            return -p->err->code;
        if (t != TOKEN_WORD) {
            *ended_by = t;
            return end_command(p, &words, t, line);
        }
        const char *word = (const char *)p->word.data;
        const struct keyword *k = words || p->quoted ? NULL : find_keyword(word);
        int r;
        if (k) {
            r = apply_keyword(p, k);
        } else {
            line = words ? line : p->line;
            if (++count > WORDS_MAX)
                return bad(p, "too many words in a command");
            r = strings_add(&words, word) < 0 ? no_memory(p) : 0;
        }
        if (r < 0)
            return r;
    }
}

static int parse(struct parser *p)
{
    for (size_t i = 0; i < p->in.size; i++)
        if (p->in.data[i] == GRUBCFG_VAR_OPEN || p->in.data[i] == GRUBCFG_VAR_CLOSE ||
            p->in.data[i] == 0)
            return error_set(p->err, EBADMSG, "%s: not a text file (byte %zu)", p->name, i);
    for (enum token t = TOKEN_SEPARATOR; t != TOKEN_END;) {
        int r = parse_command(p, &t);
        if (r < 0)
            return r;
    }
    if (p->depth > 0)
        return error_set(p->err, EBADMSG,
                         "%s: line %u: what is opened here is not closed by \"%s\"", p->name,
                         p->stack[p->depth - 1].line, p->stack[p->depth - 1].closer);
    return 0;
}

int grub_config_parse(struct grub_config *ret, struct bytes text, const char *name,
                      struct error *err)
{
    struct error own;
    if (text.size > GRUBCFG_MAX)
        return error_set(err, EFBIG, "%s: larger than the limit of %zu bytes", name, GRUBCFG_MAX);
    struct parser p = {.in = text, .line = 1, .name = name, .err = err ? err : &own, .entry = -1};
    int r = parse(&p);
    buffer_free(&p.word);
    if (r < 0)
        grub_config_free(&p.config);
    else
        *ret = p.config;
    return r;
}

void grub_config_free(struct grub_config *c)
{
    for (size_t i = 0; i < c->entry_count; i++) {
        free(c->entries[i].title);
        free(c->entries[i].id);
        strings_free(c->entries[i].words);
    }
    for (size_t i = 0; i < c->command_count; i++)
        strings_free(c->commands[i].words);
    free(c->entries);
    free(c->commands);
    *c = (struct grub_config){0};
}

bool grub_word_has_variable(const char *word)
{
    return strchr(word, GRUBCFG_VAR_OPEN) != NULL;
}

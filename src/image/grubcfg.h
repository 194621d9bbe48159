/*
 * A GRUB configuration taken apart: which commands it holds, in which menu entry, under which
 * conditions. Nothing is executed or judged here (GRUB manual, 6 "Writing your own configuration
 * file directly"; grub-core/script/yylex.l for words and quotes).
 */
#ifndef ENCROOT_IMAGE_GRUBCFG_H
#define ENCROOT_IMAGE_GRUBCFG_H

#include "base/bytes.h"
#include "base/error.h"

#define GRUBCFG_MAX ((size_t)1 << 20)
#define GRUBCFG_DEPTH_MAX 32

/*
 * In words, a variable that would be expanded stands as VAR_OPEN name VAR_CLOSE. Neither byte can
 * come from the file: it would be refused.
 */
#define GRUBCFG_VAR_OPEN '\001'
#define GRUBCFG_VAR_CLOSE '\002'
#define GRUBCFG_VAR(name) "\001" name "\002"

struct grub_entry {
    char *title;       /* the first word; may hold variables */
    char *id;          /* --id, else NULL */
    char **words;      /* "menuentry" and what is before its block; NULL-terminated */
    struct bytes body; /* the block without its braces: a view into the text parsed */
    int parent;        /* index of the submenu it is in, -1 at the top */
    bool submenu;
    bool conditional; /* under an if or a loop, or in a function */
    unsigned line;
};

struct grub_command {
    char **words; /* NULL-terminated, at least one */
    bool negated; /* there is a "!" before it */
    int entry;    /* index of the entry whose body it is in, -1 at the top */
    bool conditional;
    unsigned line;
};

struct grub_config {
    struct grub_entry *entries;
    size_t entry_count;
    struct grub_command *commands;
    size_t command_count;
};

/* -EBADMSG with the line for what GRUB's parser would refuse too, and for what is too deep. `text`
 * must outlive the entries' bodies. */
int grub_config_parse(struct grub_config *ret, struct bytes text, const char *name,
                      struct error *err) _must_use_;
void grub_config_free(struct grub_config *c);
#define _grub_config_ _cleanup_(grub_config_free)

bool grub_word_has_variable(const char *word);

#endif

/* NULL-terminated lists of owned strings. */
#ifndef ENCROOT_IMAGE_TEXT_H
#define ENCROOT_IMAGE_TEXT_H

#include "base/bytes.h"

/* Append a copy. *list may be NULL (the empty list). 0 or -ENOMEM, the list unchanged. */
int strings_add(char ***list, const char *s) _must_use_;
int strings_add_n(char ***list, const char *s, size_t n) _must_use_;
size_t strings_count(char *const *list); /* NULL allowed */
bool strings_contain(char *const *list, const char *s);
void strings_free(char **list);
static inline void cleanup_strings(char ***list)
{
    strings_free(*list);
}
#define _strings_ _cleanup_(cleanup_strings)

bool starts_with(const char *s, const char *prefix);
bool ends_with(const char *s, const char *suffix);

/*
 * Lines of a text: `*at` starts at 0; false at the end. The line has no newline (nor a carriage
 * return before it).
 */
bool next_line(struct bytes text, size_t *at, struct bytes *line);
/* Words of a line, separated by spaces and tabs. */
bool next_word(struct bytes line, size_t *at, struct bytes *word);

#endif

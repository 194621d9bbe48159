/*
 * How hash.json tells which commands GRUB may measure ("grub_commands"). A pattern is the text of
 * a command as GRUB measures it behind "grub_cmd: ": its words after expansion, one space between
 * two, a menu entry's block as it is written. In it
 *
 *   *    stands for the value of a variable: any characters but white space, also none;
 *        a word that is nothing but * may be missing
 *   \*   is an asterisk
 *   \\   is a backslash
 */
#ifndef ENCROOT_MEASURE_GRUB_PATTERN_H
#define ENCROOT_MEASURE_GRUB_PATTERN_H

#include "base/bytes.h"

#define GRUB_PATTERN_ANY "*"
#define GRUB_PATTERN_VALUE_MAX 1024 /* bytes that one * stands for */
#define GRUB_PATTERN_MISSING_MAX 8  /* words of a command that may be missing */

bool grub_pattern_matches(const char *pattern, struct bytes text);

/* Append `text` as a pattern that matches nothing but it. 0, -ENOMEM or -EFBIG. */
int grub_pattern_put(struct buffer *b, struct bytes text) _must_use_;

#endif

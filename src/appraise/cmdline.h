/* How two kernel command lines differ, in words, for the operator. */
#ifndef ENCROOT_APPRAISE_CMDLINE_H
#define ENCROOT_APPRAISE_CMDLINE_H

#include "base/bytes.h"

#define CMDLINE_WORDS_MAX 1024

/* Number of words that are in one but not in the other, each as often as it comes; SIZE_MAX when
 * there are too many to tell. */
size_t cmdline_distance(struct bytes a, struct bytes b);

/* Append "added: x y; missing: z" (escaped), or that only order or white space differ. */
int cmdline_describe(struct bytes expected, struct bytes found, struct buffer *ret) _must_use_;

#endif

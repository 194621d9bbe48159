/* Which of several names did somebody mean? */
#ifndef ENCROOT_BASE_SUGGEST_H
#define ENCROOT_BASE_SUGGEST_H

#include <stdbool.h>

/*
 * Is `typed` a slip of `name`: as long as 64 characters, and one letter in three, or fewer,
 * wrong, missing, too many or swapped with its neighbour?
 */
bool looks_like(const char *typed, const char *name);

#endif

/* What every unit test includes: cmocka wants these headers in this order. */
#ifndef ENCROOT_TESTS_UNIT_H
#define ENCROOT_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#endif

/*
 * The host of the tests of the core: aligned memory, a count of interrupt checks, abort on failure.
 */
#ifndef FMTOPX_TEST_HOST_H
#define FMTOPX_TEST_HOST_H

#include "core/host.h"

extern const FmHost host;
extern long interrupt_checks; /* so far */

#endif

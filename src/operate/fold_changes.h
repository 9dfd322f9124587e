/*
 * What fm_fold_in has to solve.
 */
#ifndef FMTOPX_FOLD_CHANGES_H
#define FMTOPX_FOLD_CHANGES_H

#include "operate/folding.h"

/*
 * Read the users and items of the version, and the ratings as they are now. Requires SPI, as the
 * model's owner. Memory: the current context.
 */
extern void fm_folding_read(FmFolding *folding);

/*
 * Lay out both sides of the new version, and mark what is to be solved; return whether that is
 * anything.
 */
extern bool fm_folding_compare(FmFolding *folding);

#endif

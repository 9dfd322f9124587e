/*
 * Solving what fm_fold_in has found changed.
 */
#ifndef FMTOPX_FOLD_SOLVE_H
#define FMTOPX_FOLD_SOLVE_H

#include "operate/folding.h"

/* Solve the users and items that are marked as solvable. Memory: the current context. */
extern void fm_folding_solve(FmFolding *folding);

/*
 * Return the gram of all entities of one side (FmAllPairs), in a head that is a ranking. An entity
 * that is not usable has zero v and w.
 */
extern float *fm_folding_gram(const FmFolding *folding, int head, int side);

#endif

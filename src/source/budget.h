/*
 * The setting fmtopx.training_memory, which bounds the memory of a training.
 *
 * All checks raise an error if the training would need more.
 */
#ifndef FMTOPX_BUDGET_H
#define FMTOPX_BUDGET_H

#include "pg/compat.h"

#include "core/data/ratings.h"
#include "registry/model.h"

#define FM_MIN_TRAINING_MEMORY 1024					 /* kB */
#define FM_DEFAULT_TRAINING_MEMORY (4 * 1024 * 1024) /* kB */

/* The setting, in kB. */
extern int fm_training_memory;

/* Check before anything is read. Reads as the current user; SPI must be connected. */
extern void fm_check_budget_to_read(const FmDefinition *definition);

/* Check while ratings are read. Contexts take context_bytes so far. */
extern void fm_check_budget_while_reading(const FmDefinition *definition, int64 num_ratings,
										  double context_bytes);

/* Return how many bytes ratings take once they have been read. */
extern double fm_ratings_in_memory(const FmDefinition *definition, int64 num_ratings,
								   int32 num_users, int32 num_items);

/* Check while a relation of features is read. `bytes` are in memory so far, ratings included. */
extern void fm_check_budget_of_features(const FmDefinition *definition, Oid relation, double bytes);

/*
 * Check before the solver starts. num_levels is that of the features of both sides; known_bytes is
 * what the features and contexts take that have been read.
 */
extern void fm_check_budget_to_solve(const FmDefinition *definition, int64 num_ratings,
									 int32 num_users, int32 num_items, const int32 num_levels[2],
									 double known_bytes, const FmContexts *contexts);

#endif

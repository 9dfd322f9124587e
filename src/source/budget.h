/*
 * How much memory a training may take: the setting fmtopx.training_memory.
 */
#ifndef FMTOPX_BUDGET_H
#define FMTOPX_BUDGET_H

#include "pg/compat.h"

#include "core/data/ratings.h"
#include "registry/model.h"

#define FM_MIN_TRAINING_MEMORY 1024					 /* kB */
#define FM_DEFAULT_TRAINING_MEMORY (4 * 1024 * 1024) /* kB */

extern int fm_training_memory;

/* Refuse, before anything is read, what cannot fit. As the current user; SPI connected. */
extern void fm_check_budget_to_read(const FmDefinition *definition);

/* Refuse to read on, when contexts take so many bytes. */
extern void fm_check_budget_while_reading(const FmDefinition *definition, int64 num_ratings,
										  double context_bytes);

/* Bytes that ratings take once they have been read. */
extern double fm_ratings_in_memory(const FmDefinition *definition, int64 num_ratings,
								   int32 num_users, int32 num_items);

/* Refuse to read on a relation of features, when so much is in memory. */
extern void fm_check_budget_of_features(const FmDefinition *definition, Oid relation, double bytes);

/*
 * Refuse to solve what has been read: the levels of its features, the bytes that these and contexts take, and the
 * contexts.
 */
extern void fm_check_budget_to_solve(const FmDefinition *definition, int64 num_ratings,
									 int32 num_users, int32 num_items, const int32 num_levels[2],
									 double known_bytes, const FmContexts *contexts);

#endif

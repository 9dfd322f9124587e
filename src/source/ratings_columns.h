/*
 * The columns of a ratings relation: what they must be, and what their values mean.
 *
 * Both the training, which reads the whole relation, and serving, which reads the rows of one user,
 * go by this.
 */
#ifndef FMTOPX_RATINGS_COLUMNS_H
#define FMTOPX_RATINGS_COLUMNS_H

#include "pg/compat.h"

#include "pg/id_map.h"
#include "pg/sql_rows.h"
#include "registry/model.h"

/*
 * Raise an error unless rows can be selected from the relation and it has the columns of the
 * definition, of usable types. Returns the types of the ids.
 */
extern void fm_check_ratings_relation(const FmDefinition *definition, FmIdType *user_type,
									  FmIdType *item_type);

/* Return SQL for the time of a row r, as a double that grows with it, or NULL. */
extern char *fm_time_sql(const FmDefinition *definition);

/*
 * Return whether the relation still has its columns for users, items, ratings and weights, with ids
 * of the given types.
 */
extern bool fm_ratings_are_readable(const FmDefinition *definition, Oid user_type, Oid item_type);

/*
 * Fill in the columns of the rating and, if the definition has a weight column, of the weight, both
 * as float8 of the relation with the alias r. Return how many: 1 or 2.
 */
extern int fm_value_columns(const FmDefinition *definition, FmColumn *columns);

/*
 * Take the rating and the weight (1 without a weight column) from the columns of fm_value_columns.
 * Returns false if the row does not count, because of a NULL or a weight of 0. A value that cannot
 * be learnt from is an error.
 */
extern bool fm_take_values(const FmDefinition *definition, const Datum *values, const bool *nulls,
						   double *rating, double *weight);

/* Turn a rating of a classification into 1 (yes) or 0 (no). Any other value is an error. */
extern float fm_label(const FmDefinition *definition, float no, float yes, float rating);

/*
 * How many times their range numbers may be away from 0 before they are read relative to a center.
 * A real has 24 bits; this leaves 14 of them for the range.
 */
#define FM_FAR 1000

/*
 * Return what to subtract from ratings before they become real: their mean, if they are so far from
 * 0 that reals could not tell them apart, such as points in time; else 0, so that other ratings
 * stay exactly what they are. All versions and results have the ratings' own units.
 */
extern double fm_rating_center(FmTask task, float min, float max, double mean);

#endif

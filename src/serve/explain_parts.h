/*
 * The parts that an entity's w and v are made of.
 */
#ifndef FMTOPX_EXPLAIN_PARTS_H
#define FMTOPX_EXPLAIN_PARTS_H

#include "serve/serving.h"

/* What one column of features adds, or what is left as the entity's own. */
typedef struct FmPart
{
	char *name; /* "user.age"; "user" for what is its own */
	double w;
	double *v; /* num_factors */
} FmPart;

/*
 * Take w and v (num_factors numbers) of one user or item (side FM_USERS or FM_ITEMS) apart: first what is its own,
 * then a part for each column of the features that says something of it now. They sum to w and v, whatever the
 * relation says by now; without features, or an id, all is its own. As the model's owner; SPI connected; memory of the
 * current context.
 */
extern FmPart *fm_entity_parts(const FmServing *serving, int side, bool has_id, Datum id, double w,
							   const float *v, int *num_parts);

#endif

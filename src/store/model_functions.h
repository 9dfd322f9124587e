/*
 * The functions of a model's own, which stand beside its tables and have the types of its ids:
 *
 *   fm_<model>_top_x      fm_top_x of this model
 *   fm_<model>_top_x_all  fm_top_x_all of this model
 *
 * All functions below need SPI connected, and act as the current user, who is the model's owner.
 */
#ifndef FMTOPX_MODEL_FUNCTIONS_H
#define FMTOPX_MODEL_FUNCTIONS_H

#include "pg/id_type.h"
#include "registry/model.h"

/* The longest name of a function or a table, besides the name of its model. */
#define FM_LONGEST_SUFFIX "fm__top_x_all"

/*
 * Make the functions that are missing, or that are not as they should be. If there is no room for
 * one, because a function that is not the model's has its name, or because the owner may not create
 * any, this is reported at `level`; with WARNING, the model goes without it.
 */
extern void fm_store_make_functions(const FmModel *model, int level);

/*
 * Raise an error if something that must be made anew for ids of these types, a function or the
 * column of a table, has dependants, such as a view.
 */
extern void fm_store_check_dependants(const FmModel *model, const FmIdType *user_type,
									  const FmIdType *item_type);

/* Drop the functions. With the version table they are dropped anyway. */
extern void fm_store_drop_functions(const FmModel *model);

#endif

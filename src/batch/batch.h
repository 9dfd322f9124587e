/*
 * The best x items for every user of a model.
 */
#ifndef FMTOPX_BATCH_H
#define FMTOPX_BATCH_H

#include "pg/compat.h"

#include "batch/receiver.h"
#include "serve/serving.h"

/*
 * Read a filter: relations (InvalidOid: none) and a context (NULL: none). In the current context.
 */
extern FmListFilter fm_list_filter_read(const FmServing *serving, Oid users, Oid items,
										Jsonb *context);

/*
 * Compute the list of every user, in ascending order of idx, and hand each to the receiver. Return
 * false if the receiver refused.
 */
extern bool fm_batch_top_x(const FmServing *serving, const FmListRules *rules,
						   const FmListReceiver *receiver);

#endif

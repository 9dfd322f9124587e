/*
 * The arguments of fm_train.
 */
#ifndef FMTOPX_TRAIN_ARGUMENTS_H
#define FMTOPX_TRAIN_ARGUMENTS_H

#include "registry/definition.h"

#include "fmgr.h"

/*
 * Read the arguments of fm_train into *definition. If no ratings relation is given, what was left
 * at its default is taken from `stored`; NULL, where there is none, is then an error. A value out
 * of range, or an option that the solver does not use, is an error that names option and value.
 */
extern void fm_definition_from_arguments(FunctionCallInfo fcinfo, const FmDefinition *stored,
										 FmDefinition *definition);

/* Return the schema that fm_train is given for the model's tables: fm_schema_argument. */
extern Oid fm_train_schema_argument(FunctionCallInfo fcinfo);

#endif

/*
 * The definition of a model, from the arguments of fm_train.
 */
#ifndef FMTOPX_DEFINITION_H
#define FMTOPX_DEFINITION_H

#include "pg/compat.h"

#include "core/train/solver.h"
#include "fmgr.h"
#include "registry/model.h"

/*
 * Read the arguments of fm_train into *definition. Where no ratings relation is given, whatever was
 * left at its default is taken from `stored` (NULL: there is none, which is an error). Any value out
 * of range and any option the solver does not use is an error that names option and value.
 */
extern void fm_definition_from_arguments(FunctionCallInfo fcinfo, const FmDefinition *stored,
										 FmDefinition *definition);

/* What the solver core wants to know. */
extern FmSolverOptions fm_solver_options(const FmDefinition *definition);

#endif

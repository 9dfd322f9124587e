/*
 * The artefact of Amazon SageMaker's factorization machines.
 */
#ifndef FMTOPX_CORE_ARTEFACT_H
#define FMTOPX_CORE_ARTEFACT_H

#include "core/import/reader.h"

/*
 * Read a model.tar.gz, a tar, a ZIP or a list of arrays: whatever is within the other.
 *
 * The arrays have names: v, w1_weight and w0_weight of a model trained on sparse input, or v
 * transposed, Linear_Plus_Bias_weight and Linear_Plus_Bias_bias of one trained on dense input.
 */
extern void fm_read_artefact(const FmImporting *importing, FmBytes bytes, FmImported *result);

#endif

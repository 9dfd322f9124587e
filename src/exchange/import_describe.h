/*
 * What serving needs of an imported version besides its parameters.
 */
#ifndef FMTOPX_IMPORT_DESCRIBE_H
#define FMTOPX_IMPORT_DESCRIBE_H

#include "exchange/importing.h"

/*
 * Complete import->result, and fill in the run, from the parameters and, if the model has one, the
 * ratings relation, which is read as the current user. has_range: the range of the ratings is that
 * of import->version, not what the ratings have. SPI must be connected.
 */
extern void fm_import_describe(FmImport *import, bool has_range);

#endif

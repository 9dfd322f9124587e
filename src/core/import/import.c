/*
 * The format of a model of another system: which reader is called.
 *
 * Memory: the arrays of the result are the caller's, from the host.
 */
#include "core/import/import.h"

#include "core/import/artefact.h"
#include "core/import/import_bytes.h"
#include "core/import/text_model.h"

/* Say what the bytes are by how they begin. */
static FmImportFormat
detect_format(FmBytes bytes)
{
	while (bytes.length > 0 && (bytes.data[0] == ' ' || bytes.data[0] == '\n'))
		bytes = fm_bytes_from(bytes, 1);
	if (fm_bytes_begin(bytes, "#"))
		return FM_IMPORT_LIBFM;
	if (fm_bytes_begin(bytes, "bias:") || fm_bytes_begin(bytes, "i_"))
		return FM_IMPORT_XLEARN;
	return FM_IMPORT_SAGEMAKER;
}

void
fm_import_read(const FmImporting *importing, FmImportFormat format, FmBytes bytes,
			   FmImported *result)
{
	*result = (FmImported){0};
	if (format == FM_IMPORT_AUTO)
		format = detect_format(bytes);
	if (format == FM_IMPORT_LIBFM)
		fm_read_libfm(importing, bytes, result);
	else if (format == FM_IMPORT_XLEARN)
		fm_read_xlearn(importing, bytes, result);
	else
		fm_read_artefact(importing, bytes, result);
}

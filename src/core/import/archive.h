/*
 * Members of archives: gzip, tar and ZIP.
 */
#ifndef FMTOPX_CORE_ARCHIVE_H
#define FMTOPX_CORE_ARCHIVE_H

#include "core/import/reader.h"

extern bool fm_is_gzip(FmBytes bytes);
extern bool fm_is_tar(FmBytes bytes);
extern bool fm_is_zip(FmBytes bytes);

/* Decompress. The result is from the host. */
extern FmBytes fm_gunzip(const FmImporting *importing, FmBytes bytes);

/* Return the first file of a tar whose name, without its folder, begins with a prefix. */
extern FmBytes fm_tar_member(const FmImporting *importing, FmBytes tar, const char *prefix);

/*
 * Return the only member of a ZIP that has a name, in whatever folder. It is from the host unless
 * it is stored as it is.
 */
extern FmBytes fm_zip_member(const FmImporting *importing, FmBytes zip, const char *name);

#endif

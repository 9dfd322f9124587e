/*
 * Numbers among bytes, least significant byte first, on any machine.
 */
#ifndef FMTOPX_CORE_IMPORT_BYTES_H
#define FMTOPX_CORE_IMPORT_BYTES_H

#include <string.h>

#include "core/import/reader.h"

/* Return the unsigned number in `size` bytes. */
static inline uint64_t
fm_little_endian(const unsigned char *data, int size)
{
	uint64_t value = 0;

	for (int i = size; i-- > 0;)
		value = value << 8 | data[i];
	return value;
}

/* Return the part of some bytes from `from` on, of which the caller knows that it exists. */
static inline FmBytes
fm_bytes_from(FmBytes bytes, size_t from)
{
	return (FmBytes){bytes.data + from, bytes.length - from};
}

/* Take bytes from the beginning. It is an error if there are not as many. */
static inline FmBytes
fm_take_bytes(const FmImporting *importing, FmBytes *bytes, uint64_t length)
{
	FmBytes taken = {bytes->data, (size_t) length};

	if (length > bytes->length)
		fm_import_fail(importing, "the file ends where %llu bytes more are expected, and has %zu",
					   (unsigned long long) length, bytes->length);
	*bytes = fm_bytes_from(*bytes, (size_t) length);
	return taken;
}

static inline uint64_t
fm_take_number(const FmImporting *importing, FmBytes *bytes, int size)
{
	return fm_little_endian(fm_take_bytes(importing, bytes, size).data, size);
}

/* Return whether the bytes begin with a string. */
static inline bool
fm_bytes_begin(FmBytes bytes, const char *with)
{
	return bytes.length >= strlen(with) && memcmp(bytes.data, with, strlen(with)) == 0;
}

static inline bool
fm_bytes_are(FmBytes bytes, const char *string)
{
	return bytes.length == strlen(string) && fm_bytes_begin(bytes, string);
}

#endif

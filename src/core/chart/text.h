/*
 * A text that grows: HTML and SVG are written into it.
 */
#ifndef FMTOPX_CORE_TEXT_H
#define FMTOPX_CORE_TEXT_H

#include "core/host.h"

typedef struct FmText
{
	const FmHost *host;
	char *data; /* ends with a NUL */
	size_t length;
	size_t size;
} FmText;

extern void fm_text_begin(FmText *text, const FmHost *host);
extern void fm_text_add(FmText *text, const char *string);
extern void fm_text_format(FmText *text, const char *format, ...) FM_PRINTF(2, 3);

/* Add a string that may hold anything as content or as an attribute in quotes. */
extern void fm_text_escape(FmText *text, const char *string);

#endif

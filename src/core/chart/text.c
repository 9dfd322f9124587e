/*
 * A text that grows. Memory: that of the host, which is not released.
 */
#include "core/chart/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FIRST_SIZE 65536

/* Room for one number, or a few. */
#define LONGEST_FORMAT 512

void
fm_text_begin(FmText *text, const FmHost *host)
{
	text->host = host;
	text->length = 0;
	text->size = FIRST_SIZE;
	text->data = host->alloc(host->ctx, text->size, 1);
}

static void
add_bytes(FmText *text, const char *bytes, size_t count)
{
	if (count >= text->size - text->length)
	{
		size_t size = 2 * (text->size + count);
		char *data = text->host->alloc(text->host->ctx, size, 1);

		memcpy(data, text->data, text->length);
		text->host->release(text->host->ctx, text->data);
		text->data = data;
		text->size = size;
	}
	memcpy(text->data + text->length, bytes, count);
	text->length += count;
	text->data[text->length] = '\0';
}

void
fm_text_add(FmText *text, const char *string)
{
	add_bytes(text, string, strlen(string));
}

void
fm_text_format(FmText *text, const char *format, ...)
{
	char buffer[LONGEST_FORMAT];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(buffer, sizeof(buffer), format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t) length >= sizeof(buffer))
		text->host->fail(text->host->ctx, "a text of %d bytes is too long", length);
	add_bytes(text, buffer, length);
}

void
fm_text_escape(FmText *text, const char *string)
{
	for (const char *c = string; *c != '\0'; c++)
		switch (*c)
		{
			case '&':
				fm_text_add(text, "&amp;");
				break;
			case '<':
				fm_text_add(text, "&lt;");
				break;
			case '>':
				fm_text_add(text, "&gt;");
				break;
			case '"':
				fm_text_add(text, "&quot;");
				break;
			case '\'':
				fm_text_add(text, "&#39;");
				break;
			default:
				/* HTML has no other control characters than white space */
				if ((unsigned char) *c < ' ' && *c != '\n' && *c != '\t')
					add_bytes(text, " ", 1);
				else
					add_bytes(text, c, 1);
		}
}

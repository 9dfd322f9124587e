/*
 * Models as text, line by line, in two passes: the first finds how many rows and factors there are,
 * which bounds the memory by the bytes of the text.
 *
 * Memory: the arrays of the result are the caller's.
 */
#include "core/import/text_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/import/import_bytes.h"

#define LONGEST_NUMBER 63

/* Where a reader is in a text. */
typedef struct Lines
{
	const FmImporting *importing;
	FmBytes rest;
	int64_t number; /* of the current line, from 1 */
	FmBytes line;	/* what is left of it */
} Lines;

static bool
is_blank(unsigned char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r';
}

static void
skip_blanks(FmBytes *line)
{
	while (line->length > 0 && is_blank(line->data[0]))
		*line = fm_bytes_from(*line, 1);
}

/* Go to the next line that is not empty; false at the end. */
static bool
next_line(Lines *lines)
{
	do
	{
		const unsigned char *end;
		size_t length;

		if (lines->rest.length == 0)
			return false;
		end = memchr(lines->rest.data, '\n', lines->rest.length);
		length = end != NULL ? (size_t) (end - lines->rest.data) : lines->rest.length;
		lines->line = (FmBytes){lines->rest.data, length};
		lines->rest = fm_bytes_from(lines->rest, length + (end != NULL ? 1 : 0));
		if (++lines->number % 1024 == 0)
			lines->importing->host->check_interrupts(lines->importing->host->ctx);
		skip_blanks(&lines->line);
	} while (lines->line.length == 0);
	return true;
}

static _Noreturn void
fail_at(const Lines *lines, const char *expected)
{
	int length = lines->line.length < 40 ? (int) lines->line.length : 40;

	fm_import_fail(lines->importing, "line %lld: expected %s at \"%.*s\"",
				   (long long) lines->number, expected, length, (const char *) lines->line.data);
}

/* Take a word from the line into a buffer. */
static void
take_number(Lines *lines, char word[LONGEST_NUMBER + 1])
{
	size_t length = 0;

	while (length < lines->line.length && !is_blank(lines->line.data[length]))
	{
		unsigned char byte = lines->line.data[length];

		if (length == LONGEST_NUMBER || byte == '\0' || strchr("+-.0123456789eE", byte) == NULL)
			fail_at(lines, "a number");
		word[length++] = (char) byte;
	}
	word[length] = '\0';
	lines->line = fm_bytes_from(lines->line, length);
	skip_blanks(&lines->line);
}

/* Take a number as the nearest float. */
static float
take_float(Lines *lines)
{
	FmBytes before = lines->line;
	char word[LONGEST_NUMBER + 1], *end;
	float value;

	take_number(lines, word);
	value = strtof(word, &end);
	if (end == word || *end != '\0' || !isfinite(value))
	{
		lines->line = before;
		fail_at(lines, "a number of type real");
	}
	return value;
}

static double
take_double(Lines *lines)
{
	FmBytes before = lines->line;
	char word[LONGEST_NUMBER + 1], *end;
	double value;

	take_number(lines, word);
	value = strtod(word, &end);
	if (end == word || *end != '\0' || !isfinite(value))
	{
		lines->line = before;
		fail_at(lines, "a number");
	}
	return value;
}

static void
expect_end(const Lines *lines)
{
	if (lines->line.length > 0)
		fail_at(lines, "the end of the line");
}

/* Return how many words the rest of the line has. */
static int64_t
count_words(FmBytes line)
{
	int64_t count = 0;

	for (size_t i = 0; i < line.length; i++)
		count += !is_blank(line.data[i]) && (i == 0 || is_blank(line.data[i - 1]));
	return count;
}

/* The sections of libFM's text, in their order. */
enum
{
	SECTION_NONE,
	SECTION_BIAS,
	SECTION_UNARY,
	SECTION_PAIRWISE,
	NUM_SECTIONS
};

/* Return the section that the line begins, or SECTION_NONE. */
static int
libfm_section(const Lines *lines)
{
	static const char *const headings[NUM_SECTIONS] = {[SECTION_BIAS] = FM_LIBFM_BIAS,
													   [SECTION_UNARY] = FM_LIBFM_UNARY,
													   [SECTION_PAIRWISE] = FM_LIBFM_PAIRWISE};

	if (lines->line.data[0] != '#')
		return SECTION_NONE;
	for (int section = SECTION_BIAS; section < NUM_SECTIONS; section++)
		if (fm_bytes_begin(lines->line, headings[section]))
			return section;
	fail_at(lines, "a heading of libFM");
}

/* What the first pass over libFM's text finds. */
typedef struct LibfmCounts
{
	int64_t lines[NUM_SECTIONS]; /* of each section, without its heading */
	int64_t num_factors;
} LibfmCounts;

static void
count_libfm(Lines lines, LibfmCounts *counts)
{
	int current = SECTION_NONE;

	while (next_line(&lines))
	{
		int section = libfm_section(&lines);

		if (section != SECTION_NONE && section <= current)
			fail_at(&lines, "another heading");
		if (section == SECTION_NONE && current == SECTION_NONE)
			fail_at(&lines, "a heading of libFM");
		if (section != SECTION_NONE)
		{
			current = section;
			continue;
		}
		counts->lines[current]++;
		if (current == SECTION_PAIRWISE && counts->num_factors == 0)
			counts->num_factors = count_words(lines.line);
	}
}

void
fm_read_libfm(const FmImporting *importing, FmBytes bytes, FmImported *result)
{
	Lines lines = {.importing = importing, .rest = bytes};
	LibfmCounts counts = {0};
	float *w, *v;
	int section = SECTION_NONE;

	count_libfm(lines, &counts);
	if (counts.lines[SECTION_BIAS] > 1 ||
		(counts.lines[SECTION_UNARY] > 0 &&
		 counts.lines[SECTION_UNARY] != counts.lines[SECTION_PAIRWISE]))
		fm_import_fail(importing,
					   "the text has %lld global biases, %lld lines of w and %lld lines of v",
					   (long long) counts.lines[SECTION_BIAS],
					   (long long) counts.lines[SECTION_UNARY],
					   (long long) counts.lines[SECTION_PAIRWISE]);
	fm_import_allocate(importing, counts.lines[SECTION_PAIRWISE], counts.num_factors, result);
	w = result->w;
	v = result->v;
	while (next_line(&lines))
	{
		int heading = libfm_section(&lines);

		if (heading != SECTION_NONE)
		{
			section = heading;
			continue;
		}
		if (section == SECTION_BIAS)
			result->b = take_double(&lines);
		else if (section == SECTION_UNARY)
			*w++ = take_float(&lines);
		else
			for (int f = 0; f < result->num_factors; f++)
				*v++ = take_float(&lines);
		expect_end(&lines);
	}
}

/* A line of xLearn's text: what it is of, and which row. */
typedef enum XlearnKind
{
	XLEARN_BIAS,
	XLEARN_W,
	XLEARN_V,
	NUM_XLEARN_KINDS
} XlearnKind;

/* Take a row number and the colon after it. */
static int64_t
take_row(Lines *lines)
{
	int64_t row = 0;
	size_t length = 0;

	while (length < lines->line.length && lines->line.data[length] >= '0' &&
		   lines->line.data[length] <= '9' && row <= INT32_MAX)
		row = row * 10 + (lines->line.data[length++] - '0');
	if (length > 0 && length < lines->line.length && lines->line.data[length] == '_')
		fm_import_fail(lines->importing,
					   "line %lld: the model is field-aware, which cannot be imported",
					   (long long) lines->number);
	if (length == 0 || length == lines->line.length || lines->line.data[length] != ':')
		fail_at(lines, "a number of a row and a colon");
	lines->line = fm_bytes_from(lines->line, length + 1);
	return row;
}

static XlearnKind
take_xlearn_label(Lines *lines, int64_t *row)
{
	static const char *const labels[NUM_XLEARN_KINDS] = {
		[XLEARN_BIAS] = "bias:", [XLEARN_W] = "i_", [XLEARN_V] = "v_"};

	for (int kind = 0; kind < NUM_XLEARN_KINDS; kind++)
		if (fm_bytes_begin(lines->line, labels[kind]))
		{
			lines->line = fm_bytes_from(lines->line, strlen(labels[kind]));
			*row = kind == XLEARN_BIAS ? 0 : take_row(lines);
			skip_blanks(&lines->line);
			return (XlearnKind) kind;
		}
	fail_at(lines, "bias:, i_ or v_");
}

/* Count the lines of each kind; every row must come once, in order. */
static void
count_xlearn(Lines lines, int64_t counts[NUM_XLEARN_KINDS], int64_t *num_factors)
{
	while (next_line(&lines))
	{
		int64_t row;
		XlearnKind kind = take_xlearn_label(&lines, &row);

		if (row != counts[kind]++)
			fm_import_fail(lines.importing, "line %lld: row %lld is missing or comes again",
						   (long long) lines.number, (long long) counts[kind] - 1);
		if (kind == XLEARN_V && *num_factors == 0)
			*num_factors = count_words(lines.line);
	}
}

void
fm_read_xlearn(const FmImporting *importing, FmBytes bytes, FmImported *result)
{
	Lines lines = {.importing = importing, .rest = bytes};
	int64_t counts[NUM_XLEARN_KINDS] = {0}, num_factors = 0, row;
	float scale = importing->normalised ? (float) M_SQRT1_2 : 1;

	count_xlearn(lines, counts, &num_factors);
	if (counts[XLEARN_BIAS] > 1 || counts[XLEARN_W] != counts[XLEARN_V])
		fm_import_fail(importing, "the text has %lld lines of w and %lld lines of v",
					   (long long) counts[XLEARN_W], (long long) counts[XLEARN_V]);
	fm_import_allocate(importing, counts[XLEARN_V], num_factors, result);
	while (next_line(&lines))
	{
		XlearnKind kind = take_xlearn_label(&lines, &row);

		if (kind == XLEARN_BIAS)
			result->b = take_double(&lines);
		else if (kind == XLEARN_W)
			result->w[row] = scale * take_float(&lines);
		else
			for (int f = 0; f < num_factors; f++)
				result->v[row * num_factors + f] = scale * take_float(&lines);
		expect_end(&lines);
	}
}

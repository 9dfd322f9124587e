/*
 * The text and binary forms of fm_matrix.
 *
 * Memory: results are allocated in the current context.
 */
#include "pg/compat.h"

#include <errno.h>
#include <math.h>

#include "common/shortest_dec.h"
#include "core/model/list_vector.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "matrix/matrix.h"
#include "matrix/matrix_build.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

PG_FUNCTION_INFO_V1(fm_matrix_in);
PG_FUNCTION_INFO_V1(fm_matrix_out);
PG_FUNCTION_INFO_V1(fm_matrix_recv);
PG_FUNCTION_INFO_V1(fm_matrix_send);

/* How many bytes of a wrong input an error shows. */
#define SHOWN_BYTES 24

/* The parser of the text form. */
typedef struct Parser
{
	const char *start;
	const char *at;
} Parser;

pg_noreturn static void
syntax_error(const Parser *parser, const char *expected)
{
	int left = strlen(parser->at);
	int shown = pg_mbcliplen(parser->at, left, SHOWN_BYTES);
	int position = pg_mbstrlen_with_len(parser->start, parser->at - parser->start) + 1;

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input syntax for type %s", "fm_matrix"),
			 left == 0
				 ? errdetail("Expected %s at character %d, found the end.", expected, position)
				 : errdetail("Expected %s at character %d, found \"%.*s%s\".", expected, position,
							 shown, parser->at, shown < left ? "..." : ""),
			 errhint("The form is [[item_id, [v1, ..., vk], w], ...].")));
}

static void
skip_space(Parser *parser)
{
	while (*parser->at == ' ' || *parser->at == '\t' || *parser->at == '\n' || *parser->at == '\r')
		parser->at++;
}

/* Skip `symbol` if it is next. Return whether it was. */
static bool
take(Parser *parser, char symbol)
{
	skip_space(parser);
	if (*parser->at != symbol)
		return false;
	parser->at++;
	return true;
}

static void
expect(Parser *parser, char symbol, const char *expected)
{
	if (!take(parser, symbol))
		syntax_error(parser, expected);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *
skip_digits(const char *at)
{
	while (is_digit(*at))
		at++;
	return at;
}

static int64
parse_id(Parser *parser)
{
	const char *digits;
	char *end;
	long long id;

	skip_space(parser);
	digits = *parser->at == '-' ? parser->at + 1 : parser->at;
	if (!is_digit(*digits))
		syntax_error(parser, "an integer item id");
	errno = 0;
	id = strtoll(parser->at, &end, 10);
	if (errno != 0)
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("item id \"%.*s\" is out of range for type %s",
							   (int) Min(end - parser->at, SHOWN_BYTES), parser->at, "bigint")));
	parser->at = end;
	return id;
}

/*
 * Parse a number as JSON writes it. The end is found first, because strtof also accepts
 * hexadecimal, "nan" and "inf".
 */
static float
parse_float(Parser *parser)
{
	const char *end;
	float value;

	skip_space(parser);
	end = *parser->at == '-' ? parser->at + 1 : parser->at;
	if (!is_digit(*end))
		syntax_error(parser, "a finite number");
	end = skip_digits(end);
	if (*end == '.' && is_digit(end[1]))
		end = skip_digits(end + 1);
	if (*end == 'e' || *end == 'E')
	{
		const char *exponent = end[1] == '-' || end[1] == '+' ? end + 2 : end + 1;

		if (is_digit(*exponent))
			end = skip_digits(exponent);
	}

	errno = 0;
	value = strtof(parser->at, NULL);
	/* strtof may set ERANGE for a denormal, too, which is accepted. */
	if (isinf(value) || (errno == ERANGE && value == 0))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("\"%.*s\" is out of range for type %s",
							   (int) Min(end - parser->at, SHOWN_BYTES), parser->at, "real")));
	parser->at = end;
	return value;
}

/* Parse "[v1, ..., vk], w" into row. Return k. */
static int
parse_vector(Parser *parser, float *row)
{
	int num_factors = 0;

	expect(parser, '[', "\"[\" before the vector");
	do
	{
		if (num_factors == FM_MAX_LIST_FACTORS)
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							errmsg("fm_matrix with more than %d factors", FM_MAX_LIST_FACTORS)));
		row[num_factors++] = parse_float(parser);
	} while (take(parser, ','));
	expect(parser, ']', "\",\" or \"]\"");
	expect(parser, ',', "\",\" and the bias");
	row[num_factors] = parse_float(parser);
	return num_factors;
}

static void
check_ascending(int64 previous, int64 id, int errcode_)
{
	if (id <= previous)
		ereport(ERROR, (errcode(errcode_),
						errmsg("item ids of an fm_matrix must ascend, but %lld follows %lld",
							   (long long) id, (long long) previous)));
}

Datum
fm_matrix_in(PG_FUNCTION_ARGS)
{
	Parser parser = {PG_GETARG_CSTRING(0), PG_GETARG_CSTRING(0)};
	FmMatrixBuilder *builder = NULL;
	float row[FM_MAX_LIST_FACTORS + 1];

	expect(&parser, '[', "\"[\"");
	do
	{
		int64 id;
		int num_factors;

		CHECK_FOR_INTERRUPTS();
		expect(&parser, '[', "\"[\" before an item");
		id = parse_id(&parser);
		expect(&parser, ',', "\",\" and the vector");
		num_factors = parse_vector(&parser, row);
		expect(&parser, ']', "\"]\" after the bias");
		if (builder == NULL)
			builder = fm_matrix_builder_create(CurrentMemoryContext, num_factors);
		else if (num_factors != builder->num_factors)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("items of an fm_matrix must have vectors of one length"),
					 errdetail("Item id %lld has %d elements, item id %lld has %d.", (long long) id,
							   num_factors, (long long) builder->ids[0], builder->num_factors)));
		else
			check_ascending(builder->ids[builder->num_items - 1], id,
							ERRCODE_INVALID_TEXT_REPRESENTATION);
		fm_matrix_builder_add(builder, 1, &id, row);
	} while (take(&parser, ','));
	expect(&parser, ']', "\",\" or \"]\"");
	skip_space(&parser);
	if (*parser.at != '\0')
		syntax_error(&parser, "the end");
	PG_RETURN_POINTER(fm_matrix_build(builder));
}

Datum
fm_matrix_out(PG_FUNCTION_ARGS)
{
	const FmMatrix *matrix = PG_GETARG_FM_MATRIX(0);
	char number[FLOAT_SHORTEST_DECIMAL_LEN];
	StringInfoData text;

	initStringInfo(&text);
	for (int32 item = 0; item < matrix->num_items; item++)
	{
		const float *v = fm_matrix_vector(matrix, item);

		CHECK_FOR_INTERRUPTS();
		appendStringInfo(&text, "%s[%lld,[", item == 0 ? "[" : ",", (long long) matrix->ids[item]);
		for (int f = 0; f <= matrix->num_factors; f++)
		{
			float_to_shortest_decimal_buf(v[f], number);
			if (f > 0)
				appendStringInfoString(&text, f == matrix->num_factors ? "]," : ",");
			appendStringInfoString(&text, number);
		}
		appendStringInfoChar(&text, ']');
	}
	appendStringInfoChar(&text, ']');
	PG_RETURN_CSTRING(text.data);
}

/*
 * The binary form: format, number of items, number of factors, each 4 bytes; then per item its id,
 * 8 bytes, and its factors and bias, 4 bytes each; all in network byte order.
 */
Datum
fm_matrix_send(PG_FUNCTION_ARGS)
{
	const FmMatrix *matrix = PG_GETARG_FM_MATRIX(0);
	StringInfoData message;

	pq_begintypsend(&message);
	enlargeStringInfo(&message, VARSIZE(matrix) - VARHDRSZ);
	pq_sendint32(&message, matrix->format);
	pq_sendint32(&message, matrix->num_items);
	pq_sendint32(&message, matrix->num_factors);
	for (int32 item = 0; item < matrix->num_items; item++)
	{
		const float *v = fm_matrix_vector(matrix, item);

		CHECK_FOR_INTERRUPTS();
		pq_sendint64(&message, matrix->ids[item]);
		for (int f = 0; f <= matrix->num_factors; f++)
			pq_sendfloat4(&message, v[f]);
	}
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

/* Read the header of the binary form and check that exactly as many items follow as it says. */
static FmMatrix *
receive_header(StringInfo message)
{
	uint32 format = pq_getmsgint(message, 4);
	int32 num_items = pq_getmsgint(message, 4);
	int32 num_factors = pq_getmsgint(message, 4);
	Size expected;
	Size left = message->len - message->cursor;

	if (format != FM_MATRIX_FORMAT)
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
						errmsg("unknown binary format %08X of type %s", format, "fm_matrix")));
	if (num_items < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
						errmsg("fm_matrix of %d items", num_items)));
	if (num_factors < FM_MIN_FACTORS || num_factors > FM_MAX_LIST_FACTORS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
						errmsg("fm_matrix of %d factors", num_factors),
						errdetail("The number of factors must be between %d and %d.",
								  FM_MIN_FACTORS, FM_MAX_LIST_FACTORS)));
	expected = fm_matrix_size(num_items, num_factors) - offsetof(FmMatrix, ids);
	if (left != expected)
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
						errmsg("fm_matrix of %d items with %d factors is followed by %zu bytes "
							   "instead of %zu",
							   num_items, num_factors, left, expected)));
	return fm_matrix_create(num_items, num_factors);
}

Datum
fm_matrix_recv(PG_FUNCTION_ARGS)
{
	StringInfo message = (StringInfo) PG_GETARG_POINTER(0);
	FmMatrix *matrix = receive_header(message);

	for (int32 item = 0; item < matrix->num_items; item++)
	{
		float *v = fm_matrix_vector(matrix, item);

		CHECK_FOR_INTERRUPTS();
		matrix->ids[item] = pq_getmsgint64(message);
		if (item > 0)
			check_ascending(matrix->ids[item - 1], matrix->ids[item],
							ERRCODE_INVALID_BINARY_REPRESENTATION);
		for (int f = 0; f <= matrix->num_factors; f++)
		{
			v[f] = pq_getmsgfloat4(message);
			if (!isfinite(v[f]))
				ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
								errmsg("fm_matrix must be finite, but item id %lld has %s",
									   (long long) matrix->ids[item], fm_not_finite_text(v[f]))));
		}
	}
	PG_RETURN_POINTER(matrix);
}

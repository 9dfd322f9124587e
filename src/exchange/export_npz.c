/*
 * fm_export_npz: the arrays of a model as a file of NumPy's, which numpy.load reads: a ZIP of .npy
 * members, stored.
 *
 * Locking and rights: those of serving. Memory: the file, which must fit a bytea.
 */
#include "pg/compat.h"

#include <zlib.h>

#include "catalog/pg_type.h"
#include "pg/real_array.h"
#include "serve/list_score.h"
#include "serve/serving.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(fm_export_npz);

#define MOST_MEMBERS 16
#define LOCAL_HEADER_SIZE 30
#define CRC_OFFSET 14 /* in the local header; the packed and the true size follow */

/* A header of .npy, with the ten bytes before it, is a multiple of this. */
#define NPY_ALIGNMENT 64

/* The type of an array, as NumPy writes it. */
#define DESCR_REAL "<f4"
#define DESCR_DOUBLE "<f8"
#define DESCR_BIGINT "<i8"

/* A member of the ZIP. */
typedef struct Member
{
	const char *name;
	uint32 offset; /* of its local header */
	uint32 data;   /* of what the header is followed by */
	uint32 size;
	uint32 crc;
} Member;

typedef struct Npz
{
	StringInfoData file; /* after VARHDRSZ bytes for the length of the bytea */
	int num_members;
	Member member[MOST_MEMBERS];
	int length;	  /* of the arrays that are being read, or of ids as text */
	float *array; /* of as many */
	int64 rows;	  /* that have been read */
} Npz;

/* Append a number, least significant byte first. */
static void
put_number(StringInfo file, uint64 value, int size)
{
	for (int i = 0; i < size; i++)
		appendStringInfoChar(file, (char) (value >> 8 * i & 0xff));
}

static void
put_zeros(StringInfo file, int count)
{
	while (count-- > 0)
		appendStringInfoChar(file, 0);
}

static void
put_real(StringInfo file, float value)
{
	uint32 bits;

	memcpy(&bits, &value, sizeof(bits));
	put_number(file, bits, sizeof(bits));
}

/* Append what stands before a member: with the size and the sum that are known only afterwards. */
static void
put_zip_header(StringInfo file, const Member *member, bool in_directory)
{
	appendBinaryStringInfo(file, in_directory ? "PK\1\2" : "PK\3\4", 4);
	if (in_directory)
		put_number(file, 20, 2);
	put_number(file, 20, 2);
	put_zeros(file, 8);						  /* flags, stored, time */
	file->data[file->len - 2] = (1 << 5) + 1; /* a date: the first of January 1980 */
	put_number(file, member->crc, 4);
	put_number(file, member->size, 4);
	put_number(file, member->size, 4);
	put_number(file, strlen(member->name), 2);
	put_number(file, 0, 2);
	if (in_directory)
	{
		put_zeros(file, 10); /* comment, disk, attributes */
		put_number(file, member->offset - VARHDRSZ, 4);
	}
	appendStringInfoString(file, member->name);
}

/* Begin an array of some rows; columns < 0: of one dimension. */
static void
begin_array(Npz *npz, const char *name, const char *descr, int64 rows, int columns)
{
	StringInfo file = &npz->file;
	Member *member = &npz->member[npz->num_members++];
	char *shape = rows < 0		? pstrdup("()")
				  : columns < 0 ? psprintf("(%lld,)", (long long) rows)
								: psprintf("(%lld, %d)", (long long) rows, columns);
	char *header = psprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);
	int length = TYPEALIGN(NPY_ALIGNMENT, 10 + strlen(header) + 1) - 10;

	*member = (Member){.name = psprintf("%s.npy", name), .offset = file->len};
	put_zip_header(file, member, false);
	member->data = file->len;
	appendBinaryStringInfo(file, "\x93NUMPY\1\0", 8);
	put_number(file, length, 2);
	appendStringInfo(file, "%-*s\n", length - 1, header);
	npz->rows = 0;
}

/* End the array: set its size and its sum in the header. */
static void
end_array(Npz *npz, int64 rows)
{
	StringInfo file = &npz->file;
	Member *member = &npz->member[npz->num_members - 1];
	StringInfoData header;

	if (npz->rows != rows)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("the model has %lld rows of %s, not %lld", (long long) npz->rows,
							   member->name, (long long) rows)));
	member->size = file->len - member->data;
	member->crc = crc32_z(0, (const unsigned char *) file->data + member->data, member->size);
	initStringInfo(&header);
	put_zip_header(&header, member, false);
	memcpy(file->data + member->offset, header.data, LOCAL_HEADER_SIZE);
	pfree(header.data);
}

static void
put_directory(Npz *npz)
{
	StringInfo file = &npz->file;
	uint32 begin = file->len;
	uint32 size;

	for (int m = 0; m < npz->num_members; m++)
		put_zip_header(file, &npz->member[m], true);
	size = file->len - begin;
	appendBinaryStringInfo(file, "PK\5\6", 4);
	put_number(file, 0, 4);
	put_number(file, npz->num_members, 2);
	put_number(file, npz->num_members, 2);
	put_number(file, size, 4);
	put_number(file, begin - VARHDRSZ, 4);
	put_number(file, 0, 2);
}

/* FmRowReader, like the following: the bias of a row. */
static bool
read_bias(void *state, const FmRow *row)
{
	Npz *npz = state;

	put_real(&npz->file, fm_row_real(row, 0));
	npz->rows++;
	return true;
}

static bool
read_vector(void *state, const FmRow *row)
{
	Npz *npz = state;

	fm_read_real_array(fm_row_value(row, 0), npz->length, "an array of the model", npz->array);
	for (int f = 0; f < npz->length; f++)
		put_real(&npz->file, npz->array[f]);
	npz->rows++;
	return true;
}

static bool
read_integer_id(void *state, const FmRow *row)
{
	Npz *npz = state;

	put_number(&npz->file, (uint64) fm_row_bigint(row, 0), sizeof(int64));
	npz->rows++;
	return true;
}

/* An id as text, filled up with zeros. */
static bool
read_text_id(void *state, const FmRow *row)
{
	Npz *npz = state;
	char *id = fm_row_text(row, 0);
	int length = Min((int) strlen(id), npz->length);

	appendBinaryStringInfo(&npz->file, id, length);
	put_zeros(&npz->file, npz->length - length);
	npz->rows++;
	return true;
}

/* Read a column of one side of the version, in the order of idx. */
static void
read_column(const FmServing *serving, Oid table, FmColumn column, FmRowReader reader, Npz *npz)
{
	FmSqlParameters parameters = {0};

	fm_add_integer(&parameters, serving->loaded->version.number);
	fm_sql_scan(psprintf("SELECT %s FROM %s WHERE version = $1 ORDER BY idx", column.sql,
						 fm_relation_sql(table)),
				&parameters, serving->read_only, &column, 1, reader, npz);
}

static void
put_ids(const FmServing *serving, Oid table, const char *column, const FmIdType *type, int64 rows,
		Npz *npz)
{
	FmSqlParameters parameters = {0};

	if (type->is_integer)
	{
		begin_array(npz, column, DESCR_BIGINT, rows, -1);
		read_column(serving, table, (FmColumn){psprintf("%s::pg_catalog.int8", column), INT8OID},
					read_integer_id, npz);
		end_array(npz, rows);
		return;
	}
	fm_add_integer(&parameters, serving->loaded->version.number);
	fm_sql_run(psprintf("SELECT coalesce(max(pg_catalog.octet_length(%s::pg_catalog.text)), 1) "
						"FROM %s WHERE version = $1",
						column, fm_relation_sql(table)),
			   &parameters, serving->read_only);
	npz->length = Max(DatumGetInt32(fm_sql_value(INT4OID)), 1);
	begin_array(npz, column, psprintf("|S%d", npz->length), rows, -1);
	read_column(serving, table, (FmColumn){psprintf("%s::pg_catalog.text", column), TEXTOID},
				read_text_id, npz);
	end_array(npz, rows);
}

/* Put the arrays of one side. */
static void
put_side(const FmServing *serving, bool is_user, Npz *npz)
{
	const FmLoaded *loaded = serving->loaded;
	Oid table = is_user ? serving->model.user_table : serving->model.item_table;
	int64 rows = is_user ? loaded->version.num_users : loaded->version.num_items;
	const char *side = is_user ? "user" : "item";
	FmSqlParameters parameters = {0};
	FmColumn vector = {"vector", FLOAT4ARRAYOID};

	put_ids(serving, table, psprintf("%s_id", side),
			is_user ? &loaded->user_type : &loaded->item_type, rows, npz);
	begin_array(npz, psprintf("%s_w", side), DESCR_REAL, rows, -1);
	read_column(serving, table, (FmColumn){"w", FLOAT4OID}, read_bias, npz);
	end_array(npz, rows);
	npz->length = loaded->version.num_factors;
	begin_array(npz, psprintf("%s_v", side), DESCR_REAL, rows, npz->length);
	read_column(serving, table, (FmColumn){"v", FLOAT4ARRAYOID}, read_vector, npz);
	end_array(npz, rows);
	npz->length = fm_query_length(loaded);
	begin_array(npz, psprintf("%s_list", side), DESCR_REAL, rows, npz->length);
	fm_add_text(&parameters, serving->model.name);
	fm_sql_scan(psprintf("SELECT vector FROM %s($1)",
						 fm_qualified_sql(serving->model.extension_schema,
										  psprintf("fm_%s_vectors", side))),
				&parameters, serving->read_only, &vector, 1, read_vector, npz);
	end_array(npz, rows);
}

/* Raise an error unless the arrays fit a bytea. */
static void
check_size(const FmServing *serving)
{
	const FmLoaded *loaded = serving->loaded;
	double rows = (double) loaded->version.num_users + loaded->version.num_items;
	double size = rows * (1 + loaded->version.num_factors + fm_query_length(loaded)) *
				  sizeof(float);

	if (size > 0.9 * MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the arrays of model \"%s\" have %.0f MB, more than a bytea may have",
						serving->model.name, size / 1e6),
				 errhint("COPY its tables, or what fm_user_vectors and fm_item_vectors return.")));
}

Datum
fm_export_npz(PG_FUNCTION_ARGS)
{
	FmServing serving;
	Npz *npz = palloc0(sizeof(Npz));
	uint64 bits;

	initStringInfo(&npz->file);
	put_zeros(&npz->file, VARHDRSZ);
	npz->array = palloc((FM_MAX_LIST_FACTORS + 1) * sizeof(float));
	fm_serve_begin(&serving, fcinfo, PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0), FM_IDS_TEXT,
				   CurrentMemoryContext);
	check_size(&serving);
	put_side(&serving, true, npz);
	put_side(&serving, false, npz);
	begin_array(npz, "b", DESCR_DOUBLE, -1, -1);
	memcpy(&bits, &serving.loaded->version.b, sizeof(bits));
	put_number(&npz->file, bits, sizeof(bits));
	end_array(npz, 0);
	put_directory(npz); /* before the memory of names ends with the serving */
	fm_serve_end(&serving);
	SET_VARSIZE(npz->file.data, npz->file.len);
	PG_RETURN_BYTEA_P(npz->file.data);
}

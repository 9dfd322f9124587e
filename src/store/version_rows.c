/*
 * A model's tables: made once, filled a version at a time.
 *
 * Rows go in by INSERT … SELECT from a tuplestore that stands in the statement as a relation (the
 * mechanism of transition tables), so that whatever the tables' owner has put on them (triggers,
 * partitions, constraints) is honoured, at the price of one statement for a million rows.
 * Locking: the statements' own; a new version is invisible until the registry points at it, and no
 * reader waits.
 */
#include "store/version_rows.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "pg/real_array.h"
#include "pg/sql.h"
#include "storage/bufmgr.h"
#include "storage/itemptr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#define MATRIX_BLOCK_ITEMS 8192
#define PRUNE_BLOCKS 1024 /* of a table, looked through in one step */
#define LONGEST_TABLE_NAME "fm__version"

void
fm_check_model_name(const char *name)
{
	const int longest = NAMEDATALEN - 1 - (int) strlen(LONGEST_TABLE_NAME);

	if (name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME), errmsg("the name of a model must not be empty")));
	if (strlen(name) > longest)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG), errmsg("the model name \"%s\" is too long", name),
				 errdetail("Its tables are named after it; it may have %d bytes.", longest)));
}

static Oid
create_table(const FmModel *model, Oid namespace, const char *suffix, const char *columns,
			 const char *comment)
{
	char *name = psprintf("fm_%s_%s", model->name, suffix);
	char *qualified = fm_qualified_sql(namespace, name);

	/* to give back a table's last pages, VACUUM would lock readers out, here and on standbys */
	fm_spi_execute(psprintf("CREATE TABLE %s (%s) WITH (vacuum_truncate = false, "
							"toast.vacuum_truncate = false)",
							qualified, columns),
				   0, NULL, NULL, NULL, false);
	fm_spi_execute(psprintf("COMMENT ON TABLE %s IS %s", qualified,
							quote_literal_cstr(
								psprintf("fmtopx model \"%s\": %s", model->name, comment))),
				   0, NULL, NULL, NULL, false);
	return get_relname_relid(name, namespace);
}

/* Look rows up by id: a primary key where the type has an order, else a hash index. */
static void
create_id_index(Oid table, const char *id_column, const FmIdType *id_type)
{
	char *relation = fm_relation_sql(table);
	TypeCacheEntry *entry = lookup_type_cache(id_type->type, TYPECACHE_BTREE_OPFAMILY);

	if (OidIsValid(entry->btree_opf))
		fm_spi_execute(psprintf("ALTER TABLE %s ADD PRIMARY KEY (%s, version)", relation,
								id_column),
					   0, NULL, NULL, NULL, false);
	else
	{
		fm_spi_execute(psprintf("CREATE INDEX ON %s USING hash (%s)", relation, id_column), 0, NULL,
					   NULL, NULL, false);
		/* or nothing could be deleted while it is published to a subscriber */
		fm_spi_execute(psprintf("ALTER TABLE %s REPLICA IDENTITY FULL", relation), 0, NULL, NULL,
					   NULL, false);
	}
}

static Oid
create_entity_table(const FmModel *model, Oid namespace, const char *entity,
					const FmIdType *id_type)
{
	char *id_column = psprintf("%s_id", entity);
	char *columns = psprintf("version integer NOT NULL, idx integer NOT NULL, %s %s NOT NULL, "
							 "w real NOT NULL, v real[] NOT NULL, digest bigint NOT NULL",
							 id_column, fm_id_type_sql(id_type));
	char *comment = psprintf("bias w and factors v of each %s, a row a version", entity);
	Oid table = create_table(model, namespace, entity, columns, comment);

	create_id_index(table, id_column, id_type);
	return table;
}

void
fm_store_create_tables(FmModel *model, Oid namespace, Oid extension_schema,
					   const FmIdType *user_type, const FmIdType *item_type)
{
	model->version_table = create_table(
		model, namespace, "version",
		"version integer PRIMARY KEY, task text NOT NULL, num_factors integer NOT NULL, "
		"b double precision NOT NULL, rating_min real NOT NULL, rating_max real NOT NULL, "
		"rating_mean double precision NOT NULL, score_variance double precision NOT NULL, "
		"users integer NOT NULL, items integer NOT NULL, stamp bigint NOT NULL, "
		"activation bigint NOT NULL, "
		"noise_variance double precision NOT NULL, user_mean real[] NOT NULL, "
		"user_root real[] NOT NULL, item_mean real[] NOT NULL, item_root real[] NOT NULL, "
		"unobserved_weight double precision NOT NULL, item_gram real[]",
		"global bias b, the range of the ratings and what folding in needs, a row a version");
	model->user_table = create_entity_table(model, namespace, "user", user_type);
	model->item_table = create_entity_table(model, namespace, "item", item_type);
	model->matrix_table = create_table(
		model, namespace, "matrix",
		psprintf("version integer NOT NULL, block integer NOT NULL, matrix %s NOT NULL, "
				 "PRIMARY KEY (version, block)",
				 fm_qualified_sql(extension_schema, "fm_matrix")),
		"the augmented item matrix (v, w) by item idx, in blocks");
}

static void
check_id_type(const FmModel *model, Oid table, const char *id_column, const char *source_column,
			  const FmIdType *id_type)
{
	Oid stored;
	int32 typmod;
	Oid collation;

	get_atttypetypmodcoll(table, fm_column_number(table, id_column, "model"), &stored, &typmod,
						  &collation);
	if (stored != id_type->type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is of type %s, but model \"%s\" was "
						"made for ids of type %s",
						source_column, get_rel_name(model->definition.ratings),
						format_type_be(id_type->type), model->name, format_type_be(stored)),
				 errhint("Train under another name, or fm_drop('%s') first.", model->name)));
	if (collation != id_type->collation)
		ereport(
			ERROR,
			(errcode(ERRCODE_COLLATION_MISMATCH),
			 errmsg("column \"%s\" of relation \"%s\" has another collation than model \"%s\" was "
					"made for",
					source_column, get_rel_name(model->definition.ratings), model->name),
			 errhint("Train under another name, or fm_drop('%s') first.", model->name)));
}

void
fm_store_check_id_types(const FmModel *model, const FmIdType *user_type, const FmIdType *item_type)
{
	check_id_type(model, model->user_table, "user_id", model->definition.user_column, user_type);
	check_id_type(model, model->item_table, "item_id", model->definition.item_column, item_type);
}

/* The rows of one entity table: idx, id as the ratings type it (the table may be narrower), w, v, digest. */
static TupleDesc
entity_row_desc(const FmIdType *id_type, const char *id_column)
{
	TupleDesc desc = CreateTemplateTupleDesc(5);

	TupleDescInitEntry(desc, 1, "idx", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 2, id_column, id_type->type, id_type->typmod, 0);
	TupleDescInitEntryCollation(desc, 2, id_type->collation);
	TupleDescInitEntry(desc, 3, "w", FLOAT4OID, -1, 0);
	TupleDescInitEntry(desc, 4, "v", FLOAT4ARRAYOID, -1, 0);
	TupleDescInitEntry(desc, 5, "digest", INT8OID, -1, 0);
	return desc;
}

/* What goes into one entity table. */
typedef struct EntityRows
{
	Oid table;
	const char *id_column;
	const FmIdMap *ids;
	const int32 *order;		/* idx → index in ids */
	const int32 *canonical; /* idx → row of w and v; NULL: they are the same */
	const float *w;
	const float *v;
	const int64 *digest; /* by idx */
	int num_factors;
} EntityRows;

static Tuplestorestate *
put_entity_rows(const EntityRows *rows, TupleDesc desc)
{
	Tuplestorestate *store = tuplestore_begin_heap(true, false, work_mem);
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx row",
													  ALLOCSET_SMALL_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(row_context);
	bool nulls[5] = {false};

	for (int32 idx = 0; idx < fm_idmap_count(rows->ids); idx++)
	{
		int64 row = rows->canonical == NULL ? idx : rows->canonical[idx];
		Datum values[5];

		values[0] = Int32GetDatum(idx);
		values[1] = fm_idmap_id(rows->ids, rows->order[idx]);
		values[2] = Float4GetDatum(rows->w[row]);
		values[3] = fm_real_array(rows->v + row * rows->num_factors, rows->num_factors);
		values[4] = Int64GetDatum(rows->digest[idx]);
		tuplestore_putvalues(store, desc, values, nulls);
		MemoryContextReset(row_context);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(row_context);
	return store;
}

static void
insert_entity_rows(const EntityRows *rows, int version)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(version)};
	TupleDesc desc = entity_row_desc(fm_idmap_type(rows->ids), rows->id_column);
	Tuplestorestate *store = put_entity_rows(rows, desc);
	char *columns = psprintf("idx, %s, w, v, digest", rows->id_column);

	fm_spi_register_rows("new_rows", desc, store, fm_idmap_count(rows->ids));
	fm_spi_execute(psprintf("INSERT INTO %s (version, %s) SELECT $1, %s FROM new_rows",
							fm_relation_sql(rows->table), columns, columns),
				   1, types, values, NULL, false);
	SPI_unregister_relation("new_rows");
	tuplestore_end(store);
}

/* What the version activated next gets for `activation`. */
static char *
next_activation(const FmModel *model)
{
	return psprintf("(SELECT coalesce(max(activation), 0) + 1 FROM %s)",
					fm_relation_sql(model->version_table));
}

void
fm_store_version_row(const FmModel *model, int version, int64 stamp, const FmResult *result)
{
	const FmReading *reading = result->load->reading;
	const bool is_ranking = result->item_pairs.gram != NULL;
	const int k = result->parameters->num_factors;
	const int root_length = (int) fm_prior_root_length(k);
	Oid types[] = {INT4OID,		   TEXTOID,	  INT4OID,		  FLOAT8OID,	  FLOAT4OID,
				   FLOAT4OID,	   FLOAT8OID, FLOAT8OID,	  INT4OID,		  INT4OID,
				   INT8OID,		   FLOAT8OID, FLOAT4ARRAYOID, FLOAT4ARRAYOID, FLOAT4ARRAYOID,
				   FLOAT4ARRAYOID, FLOAT8OID, FLOAT4ARRAYOID};
	Datum values[] = {Int32GetDatum(version),
					  CStringGetTextDatum(model->definition.task),
					  Int32GetDatum(k),
					  Float8GetDatum(result->parameters->b),
					  Float4GetDatum(reading->min),
					  Float4GetDatum(reading->max),
					  Float8GetDatum(result->rating_mean),
					  Float8GetDatum(result->parameters->score_variance),
					  Int32GetDatum(fm_idmap_count(reading->users)),
					  Int32GetDatum(fm_idmap_count(reading->items)),
					  Int64GetDatum(stamp),
					  Float8GetDatum(result->noise_variance),
					  fm_real_array(result->user_prior.mean, k + 1),
					  fm_real_array(result->user_prior.root, root_length),
					  fm_real_array(result->item_prior.mean, k + 1),
					  fm_real_array(result->item_prior.root, root_length),
					  Float8GetDatum(result->item_pairs.weight),
					  is_ranking
						  ? fm_real_array(result->item_pairs.gram, (int) fm_all_pairs_length(k))
						  : (Datum) 0};
	char nulls[lengthof(values)];

	memset(nulls, ' ', sizeof(nulls));
	if (!is_ranking)
		nulls[lengthof(nulls) - 1] = 'n';
	fm_spi_execute(
		psprintf("INSERT INTO %s (version, task, num_factors, b, rating_min, rating_max, "
				 "rating_mean, score_variance, users, items, stamp, noise_variance, user_mean, "
				 "user_root, item_mean, item_root, unobserved_weight, item_gram, activation) "
				 "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, "
				 "$17, $18, %s)",
				 fm_relation_sql(model->version_table), next_activation(model)),
		lengthof(values), types, values, nulls, false);
}

void
fm_store_activate(const FmModel *model, int version, int64 stamp)
{
	Oid types[] = {INT4OID, INT8OID};
	Datum values[] = {Int32GetDatum(version), Int64GetDatum(stamp)};

	fm_spi_execute(psprintf("UPDATE %s SET stamp = $2, activation = %s WHERE version = $1",
							fm_relation_sql(model->version_table), next_activation(model)),
				   lengthof(values), types, values, NULL, false);
}

typedef struct PointerColumns
{
	AttrNumber version;
	AttrNumber stamp;
	AttrNumber activation;
} PointerColumns;

static AttrNumber
column_of_type(Oid table, const char *column, Oid type)
{
	AttrNumber number = get_attnum(table, column);

	return number > 0 && get_atttype(table, number) == type ? number : InvalidAttrNumber;
}

static bool
find_pointer_columns(Relation table, PointerColumns *columns)
{
	Oid oid = RelationGetRelid(table);

	columns->version = column_of_type(oid, "version", INT4OID);
	columns->stamp = column_of_type(oid, "stamp", INT8OID);
	columns->activation = column_of_type(oid, "activation", INT8OID);
	return table->rd_rel->relkind == RELKIND_RELATION && columns->version > 0 &&
		   columns->stamp > 0 && columns->activation > 0;
}

/* Point at the row's version, if it was activated after the latest so far. */
static void
consider_row(TupleTableSlot *row, const PointerColumns *columns, FmModel *model, int64 *latest)
{
	bool nulls[4];
	Datum version = slot_getattr(row, columns->version, &nulls[0]);
	Datum stamp = slot_getattr(row, columns->stamp, &nulls[1]);
	Datum activation = slot_getattr(row, columns->activation, &nulls[2]);
	Datum xmin = slot_getsysattr(row, MinTransactionIdAttributeNumber, &nulls[3]);

	if (nulls[0] || nulls[1] || nulls[2] || DatumGetInt64(activation) <= *latest)
		return;
	*latest = DatumGetInt64(activation);
	model->version = DatumGetInt32(version);
	model->stamp = DatumGetInt64(stamp);
	model->uncommitted = TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

/*
 * Without a query: that would cost more than all else of a question, and whatever the owner has made of his table
 * must neither run nor fail in the views, which are everybody's.
 */
void
fm_store_read_pointer(FmModel *model)
{
	Relation table = try_relation_open(model->version_table, AccessShareLock);
	PointerColumns columns;
	int64 latest = 0;

	model->version = 0;
	if (table == NULL)
		return;
	if (find_pointer_columns(table, &columns))
	{
		TupleTableSlot *row = table_slot_create(table, NULL);
		TableScanDesc scan = table_beginscan(table, GetActiveSnapshot(), 0, NULL);

		while (table_scan_getnextslot(scan, ForwardScanDirection, row))
			consider_row(row, &columns, model, &latest);
		table_endscan(scan);
		ExecDropSingleTupleTableSlot(row);
	}
	relation_close(table, NoLock);
}

static void
insert_matrix(const FmModel *model, Oid extension_schema, int version)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(version)};

	fm_spi_execute(
		psprintf("INSERT INTO %s (version, block, matrix) "
				 "SELECT $1, idx / %d, %s(idx, v, w) FROM %s WHERE version = $1 GROUP BY 2",
				 fm_relation_sql(model->matrix_table), MATRIX_BLOCK_ITEMS,
				 fm_qualified_sql(extension_schema, "fm_matrix_agg"),
				 fm_relation_sql(model->item_table)),
		1, types, values, NULL, false);
}

static void
create_level_table(FmModel *model)
{
	model->level_table = create_table(
		model, get_rel_namespace(model->version_table), "level",
		"version integer NOT NULL, idx integer NOT NULL, name text NOT NULL, side text NOT NULL, "
		"feature text, level text, mean double precision NOT NULL, w real NOT NULL, "
		"v real[] NOT NULL, PRIMARY KEY (version, idx)",
		"what each level of a feature, or of a context, adds to w and v of its users or items");
	fm_spi_execute(psprintf("CREATE INDEX ON %s (version, side, feature)",
							fm_relation_sql(model->level_table)),
				   0, NULL, NULL, NULL, false);
}

#define LEVEL_COLUMNS 8

static TupleDesc
level_row_desc(void)
{
	TupleDesc desc = CreateTemplateTupleDesc(LEVEL_COLUMNS);

	TupleDescInitEntry(desc, 1, "idx", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 2, "name", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 3, "side", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 4, "feature", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 5, "level", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 6, "mean", FLOAT8OID, -1, 0);
	TupleDescInitEntry(desc, 7, "w", FLOAT4OID, -1, 0);
	TupleDescInitEntry(desc, 8, "v", FLOAT4ARRAYOID, -1, 0);
	return desc;
}

/* Rows for levels on their way to the table. */
typedef struct LevelRows
{
	Tuplestorestate *store;
	TupleDesc desc;
	int32 count;
	const FmParameters *parameters;
	const float *w; /* of the side at hand, as is v */
	const float *v;
	MemoryContext row_context;
} LevelRows;

/*
 * One level, or what is added to the sum of all (feature NULL). A number's w and v are for the number itself,
 * less its mean, not for the standardised one.
 */
static void
put_level(LevelRows *rows, const char *side, int32 row, const char *feature, const char *level,
		  double mean, double deviation)
{
	int k = rows->parameters->num_factors;
	const float *v = rows->v + (Size) row * k;
	MemoryContext previous = MemoryContextSwitchTo(rows->row_context);
	float *scaled = palloc(k * sizeof(float));
	bool nulls[LEVEL_COLUMNS] = {false};
	Datum values[LEVEL_COLUMNS];
	StringInfoData name;

	for (int f = 0; f < k; f++)
		scaled[f] = (float) (v[f] / deviation);
	initStringInfo(&name);
	appendStringInfoString(&name, side);
	if (feature != NULL)
		appendStringInfo(&name, ".%s", feature);
	if (level != NULL)
		appendStringInfo(&name, " = %s", level);
	values[0] = Int32GetDatum(rows->count++);
	values[1] = CStringGetTextDatum(name.data);
	values[2] = CStringGetTextDatum(side);
	nulls[3] = feature == NULL;
	values[3] = feature == NULL ? (Datum) 0 : CStringGetTextDatum(feature);
	nulls[4] = level == NULL;
	values[4] = level == NULL ? (Datum) 0 : CStringGetTextDatum(level);
	values[5] = Float8GetDatum(mean);
	values[6] = Float4GetDatum((float) (rows->w[row] / deviation));
	values[7] = fm_real_array(scaled, k);
	tuplestore_putvalues(rows->store, rows->desc, values, nulls);
	MemoryContextSwitchTo(previous);
	MemoryContextReset(rows->row_context);
	CHECK_FOR_INTERRUPTS();
}

static void
put_side_levels(LevelRows *rows, const char *side, const FmFeatureReading *reading,
				int32 num_levels)
{
	const FmFeatureEntries *entries;

	if (num_levels == 0)
		return;
	entries = &reading->entries;
	put_level(rows, side, num_levels, NULL, NULL, 0, 1);
	for (int c = 0; c < reading->num_columns; c++)
	{
		const FmFeatureColumn *column = &reading->columns[c];

		for (int32 l = column->first_level; l < column->first_level + column->num_levels; l++)
			if (entries->place[l] >= 0)
				put_level(rows, side, entries->place[l], column->name,
						  fm_feature_level_name(column, l), entries->mean[l],
						  entries->deviation[l]);
	}
}

/* The levels of contexts; one that is NULL has no level, but has a column. */
static void
put_context_levels(LevelRows *rows, const FmContextReading *reading)
{
	for (int32 l = 0; reading != NULL && l < reading->contexts.num_levels; l++)
	{
		int column;
		char *level = fm_context_level_name(reading, l, &column);

		put_level(rows, "context", l, reading->columns[column].name, level, 0, 1);
	}
}

static void
insert_levels(FmModel *model, int version, const FmResult *result)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(version)};
	const FmContextReading *contexts = result->load->reading->contexts;
	LevelRows rows = {.parameters = result->parameters};

	if ((result->features == NULL || (result->features[FM_USERS].num_levels == 0 &&
									  result->features[FM_ITEMS].num_levels == 0)) &&
		contexts == NULL)
		return;
	if (!OidIsValid(model->level_table))
		create_level_table(model);
	rows.desc = level_row_desc();
	rows.store = tuplestore_begin_heap(true, false, work_mem);
	rows.row_context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx row",
											 ALLOCSET_SMALL_SIZES);
	for (int side = 0; side < 2; side++)
	{
		rows.w = result->parameters->level_w[side];
		rows.v = result->parameters->level_v[side];
		put_side_levels(&rows, side == FM_USERS ? "user" : "item", result->load->features[side],
						result->features[side].num_levels);
	}
	rows.w = result->parameters->context_w;
	rows.v = result->parameters->context_v;
	put_context_levels(&rows, contexts);
	fm_spi_register_rows("new_rows", rows.desc, rows.store, rows.count);
	fm_spi_execute(psprintf("INSERT INTO %s (version, idx, name, side, feature, level, mean, w, v) "
							"SELECT $1, idx, name, side, feature, level, mean, w, v FROM new_rows",
							fm_relation_sql(model->level_table)),
				   1, types, values, NULL, false);
	SPI_unregister_relation("new_rows");
	tuplestore_end(rows.store);
	MemoryContextDelete(rows.row_context);
}

void
fm_store_version(FmModel *model, Oid extension_schema, int version, const FmResult *result)
{
	const FmParameters *parameters = result->parameters;
	const FmLoad *load = result->load;
	EntityRows users = {model->user_table,		"user_id",
						load->reading->users,	load->user_order,
						result->user_canonical, parameters->user_w,
						parameters->user_v,		result->digest[FM_USERS],
						parameters->num_factors};
	EntityRows items = {model->item_table,		"item_id",
						load->reading->items,	load->item_order,
						result->item_canonical, parameters->item_w,
						parameters->item_v,		result->digest[FM_ITEMS],
						parameters->num_factors};

	insert_entity_rows(&users, version);
	insert_entity_rows(&items, version);
	insert_levels(model, version, result);
	insert_matrix(model, extension_schema, version);
}

int64
fm_store_copy_levels(const FmModel *model, int version, int from_version)
{
	Oid types[] = {INT4OID, INT4OID};
	Datum values[] = {Int32GetDatum(version), Int32GetDatum(from_version)};
	char *table;

	if (!OidIsValid(model->level_table))
		return 0;
	table = fm_relation_sql(model->level_table);
	fm_spi_execute(psprintf("INSERT INTO %s (version, idx, name, side, feature, level, mean, w, v) "
							"SELECT $1, idx, name, side, feature, level, mean, w, v FROM %s "
							"WHERE version = $2",
							table, table),
				   2, types, values, NULL, false);
	return (int64) SPI_processed;
}

void
fm_store_keep(const FmModel *model, int version, int previous_version, int keep_versions)
{
	char *table = fm_relation_sql(model->version_table);
	Oid types[] = {INT4OID, INT4OID, INT4OID};
	Datum values[] = {Int32GetDatum(version), Int32GetDatum(previous_version),
					  Int32GetDatum(keep_versions)};

	fm_spi_execute(psprintf("DELETE FROM %s WHERE version NOT IN (SELECT version FROM %s "
							"ORDER BY version = $1 DESC, version = $2 DESC, version DESC LIMIT $3)",
							table, table),
				   3, types, values, NULL, false);
}

/* The part of a statement that deletes what fm_store_keep has left over. */
static char *
delete_unknown(const FmModel *model, Oid table)
{
	return psprintf("DELETE FROM %s WHERE version NOT IN (SELECT version FROM %s)",
					fm_relation_sql(table), fm_relation_sql(model->version_table));
}

void
fm_store_prune(const FmModel *model)
{
	const Oid tables[] = {model->matrix_table, model->item_table, model->user_table,
						  model->level_table};

	for (int i = 0; i < lengthof(tables) && OidIsValid(tables[i]); i++)
		fm_spi_execute(delete_unknown(model, tables[i]), 0, NULL, NULL, NULL, false);
}

/* How many blocks a table has; 0 for what is not a plain table. */
static BlockNumber
count_blocks(Oid table)
{
	Relation relation = table_open(table, AccessShareLock);
	BlockNumber count = relation->rd_rel->relkind == RELKIND_RELATION
							? RelationGetNumberOfBlocks(relation)
							: 0;

	table_close(relation, NoLock);
	return count;
}

bool
fm_store_prune_step(const FmModel *model, FmPruning *position)
{
	const Oid tables[] = {model->matrix_table, model->item_table, model->user_table,
						  model->level_table, InvalidOid};
	Oid types[] = {TIDOID, TIDOID};
	ItemPointerData from;
	ItemPointerData to;
	Datum values[] = {PointerGetDatum(&from), PointerGetDatum(&to)};
	Oid table = tables[position->table];

	if (position->block == 0)
		position->num_blocks = count_blocks(table);
	if (position->num_blocks == 0)
		fm_spi_execute(delete_unknown(model, table), 0, NULL, NULL, NULL, false);
	else
	{
		ItemPointerSet(&from, position->block, 0);
		position->block += Min(PRUNE_BLOCKS, position->num_blocks - position->block);
		ItemPointerSet(&to, position->block, 0);
		fm_spi_execute(psprintf("%s AND ctid >= $1 AND ctid < $2", delete_unknown(model, table)), 2,
					   types, values, NULL, false);
	}
	if (position->block == position->num_blocks)
		*position = (FmPruning){.table = position->table + 1};
	return OidIsValid(tables[position->table]);
}

bool
fm_store_has_version(const FmModel *model, int version)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(version)};

	fm_spi_execute(psprintf("SELECT FROM %s WHERE version = $1",
							fm_relation_sql(model->version_table)),
				   1, types, values, NULL, false);
	return SPI_processed > 0;
}

void
fm_store_drop_tables(const FmModel *model)
{
	/* in the order in which readers lock them */
	const Oid tables[] = {model->version_table, model->item_table, model->matrix_table,
						  model->user_table, model->level_table};

	for (int i = 0; i < lengthof(tables); i++)
		if (get_rel_name(tables[i]) != NULL)
			fm_spi_execute(psprintf("DROP TABLE %s", fm_relation_sql(tables[i])), 0, NULL, NULL,
						   NULL, false);
}

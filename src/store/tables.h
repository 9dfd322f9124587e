/*
 * A model's tables: their names, their creation, and their removal.
 *
 *   fm_<model>_version  one row for each version: version.h
 *   fm_<model>_user     w and v of each user, and those of the interest head
 *   fm_<model>_item     w and v of each item, those of the interest head, popularity
 *   fm_<model>_level    the same of each level of a feature or context; created on first need
 *   fm_<model>_matrix   what orders lists, in blocks of items, as fm_matrix
 *
 * In each version, `idx` numbers the users and the items from 0 in the order of their ids
 * (pg/id_map.h). The ids inside an fm_matrix are the idx of the items.
 *
 * All functions below, except for the first, need SPI connected.
 */
#ifndef FMTOPX_TABLES_H
#define FMTOPX_TABLES_H

#include "pg/id_map.h"
#include "registry/model.h"

/* Raise an error unless tables and functions can be named after a model of this name. */
extern void fm_check_model_name(const char *name);

/*
 * Return the schema for the tables of a new model: the one given, else that where CREATE TABLE
 * would put them, else that of a relation. An error unless the current user may create tables
 * there; `elsewhere` is how to have them in another one, for the hint.
 */
extern Oid fm_store_choose_schema(Oid given, Oid relation, const char *elsewhere);

/* Raise an error if a schema is given that is not where the model's tables are. */
extern void fm_store_check_schema(const FmModel *model, Oid given);

/* Create the tables in a schema, as the current user, and set their OIDs in *model. */
extern void fm_store_create_tables(FmModel *model, Oid schema, const FmIdType *user_type,
								   const FmIdType *item_type);

/* Create the table of levels beside the others, and set its OID in *model. */
extern void fm_store_create_level_table(FmModel *model);

/* Fill in the types of the ids in the tables. */
extern void fm_store_id_types(const FmModel *model, FmIdType *user_type, FmIdType *item_type);

/*
 * Raise an error unless the types of the ids of the ratings relation match those in the tables
 * (fm_id_types_match).
 */
extern void fm_store_check_id_types(const FmModel *model, const FmIdType *user_type,
									const FmIdType *item_type);

/* Return whether the tables have exactly these types of ids. */
extern bool fm_store_has_id_types(const FmModel *model, const FmIdType *user_type,
								  const FmIdType *item_type);

/* Raise an error unless fm_store_change_id_types can give the tables these types of ids. */
extern void fm_store_check_new_id_types(const FmModel *model, const FmIdType *user_type,
										const FmIdType *item_type);

/*
 * Make the tables anew for ids of other types, as the current user. They stay the same relations,
 * with their privileges and settings, but lose all versions, of which a notice tells. Readers wait
 * until the end of the transaction. What the versions leave in the other tables is left to
 * fm_store_prune.
 */
extern void fm_store_change_id_types(const FmModel *model, const FmIdType *user_type,
									 const FmIdType *item_type);

/*
 * Add the columns that tables of an earlier layout lack, as the current user. Readers wait until
 * the end of the transaction, once.
 */
extern void fm_store_add_columns(const FmModel *model);

/* Drop the tables that still exist, as the current user. */
extern void fm_store_drop_tables(const FmModel *model);

#endif

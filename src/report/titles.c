/*
 * The titles of items. Memory: the context in which they are read.
 */
#include "report/titles.h"

#include "catalog/pg_type.h"
#include "pg/sql.h"
#include "utils/array.h"
#include "utils/builtins.h"

typedef struct FmTitle
{
	char *id;
	char *title;
} FmTitle;

static int
compare_titles(const void *a, const void *b)
{
	return strcmp(((const FmTitle *) a)->id, ((const FmTitle *) b)->id);
}

void
fm_titles_check(const FmTitles *titles)
{
	if (!OidIsValid(titles->relation))
		return;
	(void) fm_relation_sql(titles->relation);
	(void) fm_column_number(titles->relation, titles->id_column, "id_column");
	(void) fm_column_number(titles->relation, titles->title_column, "title_column");
	fm_check_select(titles->relation, GetUserId());
}

void
fm_titles_read(FmTitles *titles, char *const *ids, int count)
{
	enum
	{
		ID,
		TITLE
	};
	const FmColumn columns[] = {[ID] = {"u.id", TEXTOID}, [TITLE] = {"min(t.title)", TEXTOID}};
	Datum *elements = palloc((count + 1) * sizeof(Datum));
	FmSqlParameters parameters = {0};
	FmRows rows;

	if (!OidIsValid(titles->relation))
		return;
	for (int i = 0; i < count; i++)
		elements[i] = CStringGetTextDatum(ids[i]);
	fm_add_parameter(&parameters, TEXTARRAYOID,
					 PointerGetDatum(
						 construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT)),
					 false);
	fm_sql_run(psprintf("SELECT %s FROM (SELECT %s::pg_catalog.text AS id, %s::pg_catalog.text AS "
						"title FROM %s) t JOIN pg_catalog.unnest($1) u (id) ON t.id COLLATE \"C\" "
						"= u.id COLLATE \"C\" "
						"WHERE t.title IS NOT NULL GROUP BY u.id",
						fm_select_list(columns, lengthof(columns)),
						quote_identifier(titles->id_column), quote_identifier(titles->title_column),
						fm_relation_sql(titles->relation)),
			   &parameters, true);
	fm_rows_begin(&rows, columns, lengthof(columns));
	titles->titles = palloc((rows.count + 1) * sizeof(FmTitle));
	while (fm_rows_next(&rows))
		titles->titles[titles->count++] = (FmTitle){fm_row_text(&rows.row, ID),
													fm_row_text(&rows.row, TITLE)};
	fm_rows_end(&rows);
	qsort(titles->titles, titles->count, sizeof(FmTitle), compare_titles);
}

const char *
fm_title_of(const FmTitles *titles, const char *id)
{
	FmTitle wanted = {(char *) id, NULL};
	const FmTitle *found = titles->count == 0 ? NULL
											  : bsearch(&wanted, titles->titles, titles->count,
														sizeof(FmTitle), compare_titles);

	return found != NULL ? found->title : id;
}

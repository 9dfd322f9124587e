/*
 * fm_report: what there is to see of a model, as one HTML page without external resources.
 *
 * The sections read as the current user, through the views and functions that everybody has. Each
 * runs in a subtransaction: one that fails is left out, and the page says why. Only the map of the
 * items and the choice of users read the model itself. Memory: a context of its own, with the page.
 */
#include "pg/compat.h"

#include "catalog/pg_type.h"
#include "pg/arguments.h"
#include "pg/host_pg.h"
#include "pg/steps.h"
#include "registry/definition.h"
#include "report/sections.h"
#include "report/style.h"
#include "serve/seen.h"
#include "serve/serving.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(fm_report);

enum
{
	ARG_MODEL,
	ARG_TITLES,
	ARG_TITLE_COLUMN,
	ARG_ID_COLUMN,
	ARG_RATINGS,
	ARG_EXAMPLES
};

/* So many items are on the map: each takes some hundred bytes of the page. */
#define MAP_ITEMS 1000

#define MOST_EXAMPLES 50

static char *
name_argument(FunctionCallInfo fcinfo, int argument)
{
	return pstrdup(NameStr(*PG_GETARG_NAME(argument)));
}

/* Choose users evenly by their place in the model, in the context of the page. */
static void
choose_users(const FmServing *serving, FmPage *page)
{
	const FmColumn columns[] = {{"user_id::pg_catalog.text", TEXTOID}};
	int32 num_users = serving->loaded->version.num_users;
	FmSqlParameters parameters = {0};
	int32 *wanted = palloc((page->num_examples + 1) * sizeof(int32));
	FmRows rows;

	page->num_examples = Min(page->num_examples, num_users);
	for (int i = 0; i < page->num_examples; i++)
		wanted[i] = (int32) ((2 * i + 1) * (int64) num_users / (2 * page->num_examples));
	fm_add_integer(&parameters, page->version);
	fm_add_integers(&parameters, wanted, page->num_examples);
	fm_sql_run(psprintf("SELECT %s FROM %s WHERE version = $1 AND idx = ANY ($2) ORDER BY idx",
						fm_select_list(columns, lengthof(columns)),
						fm_relation_sql(serving->model.user_table)),
			   &parameters, true);
	MemoryContextSwitchTo(page->context); /* SPI has left it */
	fm_rows_begin(&rows, columns, lengthof(columns));
	page->users = palloc((rows.count + 1) * sizeof(char *));
	page->num_examples = 0;
	while (fm_rows_next(&rows))
		page->users[page->num_examples++] = fm_row_text(&rows.row, 0);
	fm_rows_end(&rows);
}

/* Read what the sections need of the model itself. */
static void
read_model(FmPage *page, FunctionCallInfo fcinfo)
{
	FmServing serving;
	MemoryContext previous;

	fm_serve_begin(&serving, fcinfo, PG_ARGISNULL(ARG_MODEL) ? NULL : PG_GETARG_TEXT_PP(ARG_MODEL),
				   FM_IDS_TEXT, page->context);
	previous = MemoryContextSwitchTo(page->context);
	page->model = pstrdup(serving.model.name);
	page->task = serving.loaded->version.task;
	page->version = serving.loaded->version.number;
	page->ratings = PG_ARGISNULL(ARG_RATINGS) ? serving.model.definition.ratings
											  : PG_GETARG_OID(ARG_RATINGS);
	if (PG_ARGISNULL(ARG_ID_COLUMN))
		page->titles.id_column = pstrdup(serving.model.definition.item_column);
	page->map = fm_item_map(&serving, MAP_ITEMS);
	choose_users(&serving, page);
	MemoryContextSwitchTo(previous);
	fm_serve_end(&serving);
}

/* Read the titles of the items on the map. */
static void
read_titles(FmPage *page)
{
	char **ids = palloc((page->map.count + 1) * sizeof(char *));

	for (int i = 0; i < page->map.count; i++)
		ids[i] = page->map.items[i].id;
	fm_titles_read(&page->titles, ids, page->map.count);
	for (int i = 0; i < page->map.count; i++)
		page->map.items[i].title = fm_title_of(&page->titles, ids[i]);
}

/* FmStep */
static void
run_section(void *state, const void *argument)
{
	(*(const FmSection *) argument)(state);
}

/* Write a section; or, if it fails, why. */
static void
write_section(FmPage *page, FmSection section)
{
	size_t length = page->html.length;
	ErrorData *error = fm_attempt(run_section, page, &section, page->context);

	if (error == NULL)
		return;
	if (fm_is_cancel(error))
		ReThrowError(error);
	page->html.length = length;
	page->html.data[length] = '\0';
	fm_card_begin(page, "Left out", false);
	fm_paragraph(page, error->message);
	fm_card_end(page);
}

static void
write_fact(FmPage *page, const char *name, const char *value)
{
	fm_text_add(&page->html, "<div><dt>");
	fm_text_escape(&page->html, name);
	fm_text_add(&page->html, "</dt><dd>");
	fm_text_escape(&page->html, value);
	fm_text_add(&page->html, "</dd></div>\n");
}

/* FmSection: the facts of the version, from fm_models. */
static void
write_facts(FmPage *page)
{
	static const char *const names[] = {"task",	 "solver", "version", "trained",
										"users", "items",  "ratings"};
	const FmColumn columns[] = {{"task", TEXTOID},
								{"solver", TEXTOID},
								{"$2::pg_catalog.text", TEXTOID},
								{"pg_catalog.to_char(trained_at, 'YYYY-MM-DD HH24:MI')", TEXTOID},
								{"users::pg_catalog.text", TEXTOID},
								{"items::pg_catalog.text", TEXTOID},
								{"rating_count::pg_catalog.text", TEXTOID}};
	FmRows rows;

	fm_page_query(page, columns, lengthof(columns),
				  psprintf("FROM %s WHERE model = $1", fm_page_name(page, "fm_models")), &rows);
	fm_text_add(&page->html, "<dl>\n");
	while (fm_rows_next(&rows))
		for (int c = 0; c < lengthof(columns); c++)
			if (!fm_row_is_null(&rows.row, c))
				write_fact(page, names[c], fm_row_text(&rows.row, c));
	fm_text_add(&page->html, "</dl>\n");
	fm_rows_end(&rows);
}

/* Write the sections on ratings, or why there are none. */
static void
write_ratings(FmPage *page)
{
	const char *reason = NULL;

	if (fm_is_ranking(page->task))
		reason = "A ranking predicts no ratings, so there are no residuals and no calibration.";
	else if (!OidIsValid(page->ratings))
		reason = "The model has no ratings relation, so nothing can be compared with predictions.";
	else if (pg_class_aclcheck(page->ratings, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		reason = "You may not read the ratings, so nothing is compared with predictions.";
	if (reason == NULL)
	{
		write_section(page, fm_section_calibration);
		write_section(page, fm_section_residuals);
		write_section(page, fm_section_distribution);
		return;
	}
	fm_card_begin(page, "Ratings and predictions", false);
	fm_paragraph(page, reason);
	fm_card_end(page);
}

static void
write_page(FmPage *page)
{
	fm_text_add(&page->html,
				"<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>\n"
				"<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
				"<title>");
	fm_text_escape(&page->html, page->model);
	fm_text_add(&page->html,
				" – fmtopx</title>\n<style>" FM_REPORT_STYLE "</style></head>\n<body><header><h1>");
	fm_text_escape(&page->html, page->model);
	fm_text_add(&page->html, "</h1>\n");
	write_section(page, write_facts);
	fm_text_add(&page->html, "</header>\n<main>\n");
	write_section(page, fm_section_metrics);
	write_section(page, fm_section_history);
	write_section(page, fm_section_curves);
	write_ratings(page);
	write_section(page, fm_section_popularity);
	write_section(page, fm_section_map);
	if (page->num_examples > 0)
		write_section(page, fm_section_lists);
	write_section(page, fm_section_similar);
	write_section(page, fm_section_runs);
	fm_text_add(&page->html, "</main></body></html>\n");
}

Datum
fm_report(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "fmtopx report", ALLOCSET_DEFAULT_SIZES);
	FmPage page = {.context = context, .schema = fm_extension_schema(fcinfo)};
	FmRoleSwitch previous;
	text *result;

	page.num_examples = Min(fm_x_argument(fcinfo, ARG_EXAMPLES), MOST_EXAMPLES);
	if (!PG_ARGISNULL(ARG_TITLES))
	{
		fm_require_argument(fcinfo, ARG_TITLE_COLUMN, "title_column");
		page.titles.relation = PG_GETARG_OID(ARG_TITLES);
		page.titles.title_column = name_argument(fcinfo, ARG_TITLE_COLUMN);
	}
	if (!PG_ARGISNULL(ARG_ID_COLUMN))
		page.titles.id_column = name_argument(fcinfo, ARG_ID_COLUMN);
	read_model(&page, fcinfo);
	fm_titles_check(&page.titles);
	fm_spi_connect();
	MemoryContextSwitchTo(context);
	/* the role stays, but operators in the caller's search_path must not be used */
	previous = fm_act_as(GetUserId());
	read_titles(&page);
	fm_text_begin(&page.html, fm_pg_host(context));
	write_page(&page);
	fm_restore_role(&previous);
	fm_spi_finish();
	MemoryContextSwitchTo(caller);
	result = cstring_to_text_with_len(page.html.data, (int) page.html.length);
	MemoryContextDelete(context);
	PG_RETURN_TEXT_P(result);
}

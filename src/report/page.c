/*
 * What all sections of a report use: cards, queries, charts.
 */
#include "report/page.h"

#include <math.h>

void
fm_card_begin(FmPage *page, const char *heading, bool wide)
{
	fm_text_format(&page->html, "<section%s><h2>", wide ? " class='wide'" : "");
	fm_text_escape(&page->html, heading);
	fm_text_add(&page->html, "</h2>\n");
}

void
fm_card_end(FmPage *page)
{
	fm_text_add(&page->html, "</section>\n");
}

void
fm_paragraph(FmPage *page, const char *string)
{
	fm_text_add(&page->html, "<p>");
	fm_text_escape(&page->html, string);
	fm_text_add(&page->html, "</p>\n");
}

const char *
fm_page_name(const FmPage *page, const char *name)
{
	return fm_qualified_sql(page->schema, name);
}

void
fm_page_query(FmPage *page, const FmColumn *columns, int num_columns, const char *rest,
			  FmRows *rows)
{
	FmSqlParameters parameters = {0};

	fm_add_text(&parameters, page->model);
	fm_add_integer(&parameters, page->version);
	fm_sql_run(psprintf("SELECT %s %s", fm_select_list(columns, num_columns), rest), &parameters,
			   true);
	fm_rows_begin(rows, columns, num_columns);
}

FmChart
fm_page_chart(FmPage *page, const char *title, const char *x, const char *y)
{
	FmChart chart = {.out = &page->html, .title = title, .width = 440, .height = 290};

	chart.x = (FmAxis){.label = x, .low = 1, .high = -1};
	chart.y = (FmAxis){.label = y, .low = 1, .high = -1};
	return chart;
}

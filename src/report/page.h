/*
 * The page of a report, while it is being written.
 */
#ifndef FMTOPX_PAGE_H
#define FMTOPX_PAGE_H

#include "pg/compat.h"

#include "core/chart/chart.h"
#include "pg/sql.h"
#include "report/item_map.h"
#include "report/titles.h"

/* What the page is about, and what it is written to. The text is in `context`. */
typedef struct FmPage
{
	MemoryContext context;
	FmText html;
	Oid schema; /* of the extension */
	const char *model;
	FmTask task; /* of the version, as all that follow */
	int version;
	FmItemMap map;
	int num_examples;
	char **users; /* ids as text, whose lists are shown */
	Oid ratings;  /* to compare with predictions; InvalidOid: the model has none */
	FmTitles titles;
} FmPage;

/* A section: it reads what it shows as the current user, by SPI. */
typedef void (*FmSection)(FmPage *page);

/* Begin a card with a heading; a wide one takes all columns. End it. */
extern void fm_card_begin(FmPage *page, const char *heading, bool wide);
extern void fm_card_end(FmPage *page);

/* Write a paragraph, which is escaped. */
extern void fm_paragraph(FmPage *page, const char *string);

/* Run a query of the columns, with $1 the model and $2 the version, and begin to read its rows. */
extern void fm_page_query(FmPage *page, const FmColumn *columns, int num_columns, const char *rest,
						  FmRows *rows);

/* Return a chart of the usual size. */
extern FmChart fm_page_chart(FmPage *page, const char *title, const char *x, const char *y);

/* Return a qualified relation or function of the extension. */
extern const char *fm_page_name(const FmPage *page, const char *name);

#endif

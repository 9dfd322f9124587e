/*
 * The sections of a report on what the model recommends.
 */
#include "report/sections.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "registry/definition.h"
#include "utils/builtins.h"

#define LIST_LENGTH 10
#define SIMILAR_LENGTH 5
#define SIMILAR_ITEMS 6
#define MOST_LABELS 40
#define MOST_BINS 64

/* Return "2–3" for the bounds of a bin, "8k+" for large ones. */
static char *
bin_name(int64 least, int64 most)
{
	if (least >= 1024)
		return psprintf("%lldk+", (long long) (least / 1000));
	return most <= least ? psprintf("%lld", (long long) least)
						 : psprintf("%lld–%lld", (long long) least, (long long) most);
}

/* What the section on popularity says in words. */
typedef struct Coverage
{
	int64 items;
	int64 listed;
	int64 unrated;
	int64 unrated_listed;
} Coverage;

static void
tell_coverage(FmPage *page, const Coverage *coverage)
{
	fm_paragraph(page,
				 psprintf("%lld of %lld items (%.0f%%) are in at least one list of %d. %lld "
						  "items had no rating in the training (%.1f%%); %lld of these are in "
						  "a list.",
						  (long long) coverage->listed, (long long) coverage->items,
						  100.0 * coverage->listed / Max(coverage->items, 1), LIST_LENGTH,
						  (long long) coverage->unrated,
						  100.0 * coverage->unrated / Max(coverage->items, 1),
						  (long long) coverage->unrated_listed));
}

void
fm_section_popularity(FmPage *page)
{
	enum
	{
		LEAST,
		MOST,
		ITEMS,
		LISTED,
		OF_ITEMS,
		OF_LISTS
	};
	const FmColumn columns[] = {[LEAST] = {"least_ratings", INT8OID},
								[MOST] = {"most_ratings", INT8OID},
								[ITEMS] = {"items", INT8OID},
								[LISTED] = {"items_listed", INT8OID},
								[OF_ITEMS] = {"share_of_items", FLOAT8OID},
								[OF_LISTS] = {"share_of_lists", FLOAT8OID}};
	const char *const series[] = {"share of the items", "share of places in lists"};
	FmChart chart = fm_page_chart(page, "Items and lists by how often items were rated",
								  "ratings of the item in the training", "share");
	const char *names[MOST_BINS + 1];
	double shares[2][MOST_BINS + 1];
	Coverage coverage = {0};
	int count = 0;
	bool known = true;
	FmRows rows;

	fm_page_query(page, columns, lengthof(columns),
				  psprintf("FROM %s($1, %d) p WHERE $2 > 0 ORDER BY least_ratings",
						   fm_page_name(page, "fm_popularity"), LIST_LENGTH),
				  &rows);
	chart.y = (FmAxis){.label = "share", .low = 0, .high = 0, .is_share = true};
	while (fm_rows_next(&rows) && count <= MOST_BINS)
	{
		int64 least = fm_row_bigint_or(&rows.row, LEAST, -1);
		int64 listed = fm_row_bigint(&rows.row, LISTED);

		known &= least >= 0;
		coverage.items += fm_row_bigint(&rows.row, ITEMS);
		coverage.listed += listed;
		coverage.unrated += least == 0 ? fm_row_bigint(&rows.row, ITEMS) : 0;
		coverage.unrated_listed += least == 0 ? listed : 0;
		names[count] = bin_name(least, fm_row_bigint_or(&rows.row, MOST, -1));
		for (int s = 0; s < 2; s++)
		{
			shares[s][count] = fm_row_double_or(&rows.row, OF_ITEMS + s, 0);
			fm_axis_include(&chart.y, shares[s][count]);
		}
		count++;
	}
	fm_rows_end(&rows);
	fm_card_begin(page, "What is recommended", false);
	if (known && count > 0)
	{
		chart.x.names = names;
		chart.x.num_names = count;
		fm_chart_begin(&chart, series, lengthof(series));
		for (int b = 0; b < count; b++)
			for (int s = 0; s < 2; s++)
				if (shares[s][b] > 0)
					fm_chart_bar(&chart, s, b - 0.4 + 0.4 * s, b + 0.4 * s, shares[s][b]);
		fm_chart_end(&chart);
		tell_coverage(page, &coverage);
	}
	else
		fm_paragraph(page,
					 psprintf("%lld of %lld items are in at least one list of %d. This version "
							  "does not know how often items were rated.",
							  (long long) coverage.listed, (long long) coverage.items,
							  LIST_LENGTH));
	fm_card_end(page);
}

void
fm_section_map(FmPage *page)
{
	const FmItemMap *map = &page->map;
	FmChart chart = fm_page_chart(page, "Items by what they have in common", "", "");
	FmLabelBox taken[MOST_LABELS];
	int num_taken = 0;
	double most = map->count > 0 ? (double) Max(map->items[0].ratings, 1) : 1;

	fm_card_begin(page, "Map of the items", true);
	if (map->count == 0)
	{
		fm_paragraph(page, "There are too few items, or too few factors, for a map.");
		fm_card_end(page);
		return;
	}
	chart.width = 760;
	chart.height = 560;
	chart.frameless = true;
	for (int i = 0; i < map->count; i++)
	{
		fm_axis_include(&chart.x, map->items[i].x);
		fm_axis_include(&chart.y, map->items[i].y);
	}
	if (!(chart.x.low < chart.x.high))
		chart.x.high = chart.x.low + 1;
	if (!(chart.y.low < chart.y.high))
		chart.y.high = chart.y.low + 1;
	fm_text_add(&page->html, "<div class='map'>");
	fm_chart_begin(&chart, NULL, 0);
	/* the most rated last, so that they are on top */
	for (int i = map->count - 1; i >= 0; i--)
		fm_chart_point(&chart, 0, map->items[i].x, map->items[i].y,
					   1.5 + 4 * sqrt((double) map->items[i].ratings / most), map->items[i].title);
	for (int i = 0; i < map->count && num_taken < MOST_LABELS; i++)
		(void) fm_chart_label(&chart, map->items[i].x, map->items[i].y, map->items[i].title, taken,
							  &num_taken);
	fm_chart_end(&chart);
	fm_text_add(&page->html, "</div>");
	fm_paragraph(page,
				 psprintf("The %d items with the most ratings, larger ones with more. What is "
						  "near each other appeals to the same people. The axes are the two "
						  "principal ones of the directions of the vectors, and show %.0f%% of "
						  "how these differ. A pointer on a dot shows the item.",
						  map->count, 100 * map->shown));
	fm_card_end(page);
}

/* Begin a small table of items with a caption. */
static void
begin_list(FmPage *page, const char *before, const char *name, const char *score)
{
	fm_text_add(&page->html, "<table class='list'><caption>");
	fm_text_escape(&page->html, before);
	fm_text_add(&page->html, " <b>");
	fm_text_escape(&page->html, name);
	fm_text_format(&page->html, "</b></caption><tr><th>item</th><th class='number'>%s</th></tr>\n",
				   score);
}

enum
{
	LISTED_ITEM,
	LISTED_NUMBER
};

/* Write the rows of a list. Titles that the map has not needed are read first. */
static void
write_list(FmPage *page, FmRows *rows)
{
	char **ids = palloc((rows->count + 1) * sizeof(char *));
	double *numbers = palloc((rows->count + 1) * sizeof(double));
	FmTitles titles = page->titles;
	int count = 0;

	while (fm_rows_next(rows))
	{
		ids[count] = fm_row_text(&rows->row, LISTED_ITEM);
		numbers[count++] = fm_row_real_or(&rows->row, LISTED_NUMBER, NAN);
	}
	fm_rows_end(rows);
	titles.count = 0;
	fm_titles_read(&titles, ids, count);
	for (int i = 0; i < count; i++)
	{
		fm_text_add(&page->html, "<tr><td>");
		fm_text_escape(&page->html, fm_title_of(&titles, ids[i]));
		fm_text_add(&page->html, "</td>");
		if (isnan(numbers[i]))
			fm_text_add(&page->html, "<td></td></tr>\n");
		else
			fm_text_format(&page->html, "<td class='number'>%.3g</td></tr>\n", numbers[i]);
	}
	fm_text_add(&page->html, "</table>\n");
}

void
fm_section_lists(FmPage *page)
{
	/* lists of ratings show what is predicted, rankings have a score alone */
	bool has_rating = !fm_is_ranking(page->task);
	const FmColumn columns[] = {[LISTED_ITEM] = {"item_id", TEXTOID},
								[LISTED_NUMBER] = {has_rating ? "rating" : "score", FLOAT4OID}};

	fm_card_begin(page, "Examples of lists", true);
	fm_text_add(&page->html, "<div class='lists'>");
	for (int i = 0; i < page->num_examples; i++)
	{
		FmRows rows;

		fm_page_query(page, columns, lengthof(columns),
					  psprintf("FROM %s(%s, %d, $1) t WHERE $2 > 0 ORDER BY rank",
							   fm_page_name(page, "fm_top_x"),
							   psprintf("%s::pg_catalog.text", quote_literal_cstr(page->users[i])),
							   LIST_LENGTH),
					  &rows);
		begin_list(page, "For user", page->users[i],
				   !has_rating						  ? "score"
				   : fm_is_classification(page->task) ? "probability of yes"
													  : "predicted");
		write_list(page, &rows);
	}
	fm_text_add(&page->html, "</div>");
	fm_paragraph(page, "Users from evenly across the model. Lists leave out what they have rated.");
	fm_card_end(page);
}

void
fm_section_similar(FmPage *page)
{
	const FmColumn columns[] = {
		[LISTED_ITEM] = {"item_id", TEXTOID}, [LISTED_NUMBER] = {"score", FLOAT4OID}};

	if (page->map.count == 0)
		return;
	fm_card_begin(page, "Similar items", true);
	fm_text_add(&page->html, "<div class='lists'>");
	for (int i = 0; i < Min(SIMILAR_ITEMS, page->map.count); i++)
	{
		FmRows rows;

		fm_page_query(page, columns, lengthof(columns),
					  psprintf("FROM %s(%s::pg_catalog.text, %d, $1) t WHERE $2 > 0 ORDER BY rank",
							   fm_page_name(page, "fm_similar_items"),
							   quote_literal_cstr(page->map.items[i].id), SIMILAR_LENGTH),
					  &rows);
		begin_list(page, "Similar to", page->map.items[i].title, "cosine");
		write_list(page, &rows);
	}
	fm_text_add(&page->html, "</div>");
	fm_paragraph(page, "Of the items with the most ratings.");
	fm_card_end(page);
}

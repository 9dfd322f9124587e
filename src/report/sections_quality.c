/*
 * The sections of a report on how good the model is, now and in earlier trainings.
 */
#include "report/sections.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "registry/registry_runs.h"
#include "utils/builtins.h"

/* Lines have at most so many points: every nth iteration is drawn, and the last. */
#define MOST_POINTS 400

/* Runs in charts, and in the table. */
#define RUNS_DRAWN 200
#define RUNS_LISTED 20

/* Whether less of a metric is better. */
static bool
is_loss(const char *metric)
{
	return strcmp(metric, "rmse") == 0 || strcmp(metric, "mae") == 0 ||
		   strcmp(metric, "log_loss") == 0;
}

static void
add_number_cell(FmPage *page, double value)
{
	if (isnan(value))
		fm_text_add(&page->html, "<td class='number'>–</td>");
	else
		fm_text_format(&page->html, "<td class='number'>%.4g</td>", value);
}

void
fm_section_metrics(FmPage *page)
{
	enum
	{
		METRIC,
		VALUE,
		BASELINE
	};
	const FmColumn columns[] = {[METRIC] = {"metric", TEXTOID},
								[VALUE] = {"value", FLOAT8OID},
								[BASELINE] = {"baseline", FLOAT8OID}};
	FmRows rows;

	fm_page_query(page, columns, lengthof(columns),
				  psprintf("FROM %s WHERE model = $1 AND version = $2 AND set = 'test' "
						   "ORDER BY baseline IS NULL, metric <> '%s', metric",
						   fm_page_name(page, "fm_metrics"), fm_metric_name(page->task)),
				  &rows);
	fm_card_begin(page, "Metrics beside baselines", false);
	if (rows.count == 0)
		fm_paragraph(page, "No ratings were held out from the training of this version "
						   "(test_size), so nothing says how it does on new ones.");
	else
		fm_text_add(&page->html, "<div class='scroll'><table><tr><th>on held-out ratings</th>"
								 "<th class='number'>model</th><th class='number'>baseline</th>"
								 "<th></th></tr>\n");
	while (fm_rows_next(&rows))
	{
		char *metric = fm_row_text(&rows.row, METRIC);
		double value = fm_row_double_or(&rows.row, VALUE, NAN);
		double baseline = fm_row_double_or(&rows.row, BASELINE, NAN);
		bool better = is_loss(metric) ? value < baseline : value > baseline;

		fm_text_add(&page->html, "<tr><td>");
		fm_text_escape(&page->html, metric);
		fm_text_add(&page->html, "</td>");
		add_number_cell(page, value);
		add_number_cell(page, baseline);
		fm_text_add(&page->html, isnan(value) || isnan(baseline) ? "<td></td></tr>\n"
								 : better ? "<td class='good'>better</td></tr>\n"
										  : "<td class='bad'>not better</td></tr>\n");
	}
	if (rows.count > 0)
	{
		fm_text_add(&page->html, "</table></div>");
		fm_paragraph(page, "The baseline is what the same ratings get without a model: damped "
						   "means, the share of yes, lists of the most popular items.");
	}
	fm_card_end(page);
	fm_rows_end(&rows);
}

/* One line of a chart, being filled. */
typedef struct Line
{
	int count;
	double *x;
	double *y;
} Line;

static Line
new_line(uint64 count)
{
	return (Line){0, palloc((count + 1) * sizeof(double)), palloc((count + 1) * sizeof(double))};
}

static void
add_point(Line *line, FmChart *chart, double x, double y)
{
	line->x[line->count] = x;
	line->y[line->count++] = y;
	if (!isfinite(y))
		return;
	fm_axis_include(&chart->x, x);
	fm_axis_include(&chart->y, y);
}

void
fm_section_history(FmPage *page)
{
	enum
	{
		VERSION,
		VALUE,
		BASELINE
	};
	const FmColumn columns[] = {[VERSION] = {"version", INT4OID},
								[VALUE] = {"value", FLOAT8OID},
								[BASELINE] = {"baseline", FLOAT8OID}};
	const char *metric = fm_metric_name(page->task);
	const char *const series[] = {"model", "baseline"};
	FmChart chart = fm_page_chart(page, psprintf("%s of each training", metric), "version",
								  psprintf("%s on held-out ratings", metric));
	FmRows rows;
	Line model, baseline;

	fm_page_query(page, columns, lengthof(columns),
				  psprintf("FROM (SELECT * FROM %s WHERE model = $1 AND set = 'test' "
						   "AND metric = '%s' AND $2 > 0 ORDER BY version DESC LIMIT %d) m "
						   "ORDER BY version",
						   fm_page_name(page, "fm_metrics"), metric, RUNS_DRAWN),
				  &rows);
	if (rows.count < 2)
	{
		fm_rows_end(&rows);
		return;
	}
	model = new_line(rows.count);
	baseline = new_line(rows.count);
	while (fm_rows_next(&rows))
	{
		int version = fm_row_integer(&rows.row, VERSION);

		add_point(&model, &chart, version, fm_row_double_or(&rows.row, VALUE, NAN));
		add_point(&baseline, &chart, version, fm_row_double_or(&rows.row, BASELINE, NAN));
	}
	chart.x.is_whole = true;
	fm_card_begin(page, "Trainings so far", false);
	fm_chart_begin(&chart, series, lengthof(series));
	fm_chart_line(&chart, 1, baseline.x, baseline.y, baseline.count);
	fm_chart_line(&chart, 0, model.x, model.y, model.count);
	for (int i = 0; i < model.count && model.count <= 40; i++)
		if (isfinite(model.y[i]))
			fm_chart_point(&chart, 0, model.x[i], model.y[i], 2.5, NULL);
	fm_chart_end(&chart);
	fm_card_end(page);
	fm_rows_end(&rows);
}

/* A row of fm_curve. */
enum
{
	CURVE_ITERATION,
	CURVE_TRAIN_METRIC,
	CURVE_TRAIN,
	CURVE_TEST_METRIC,
	CURVE_TEST,
	CURVE_SECONDS
};

/* Draw one head's curve: errors in one chart, or for a ranking what was tested in another. */
static void
draw_curve(FmPage *page, const char *head, const char *y, const Line *lines[2],
		   const char *const series[2], FmChart *chart)
{
	fm_card_begin(page, psprintf("Learning curve: %s head", head), false);
	chart->title = psprintf("%s by iteration, %s head", y, head);
	chart->y.label = y;
	chart->x.is_whole = true;
	fm_chart_begin(chart, series, lines[1] != NULL && lines[0] != NULL ? 2 : 0);
	for (int i = 0; i < 2; i++)
		if (lines[i] != NULL)
			fm_chart_line(chart, i, lines[i]->x, lines[i]->y, lines[i]->count);
	fm_chart_end(chart);
	fm_paragraph(page,
				 strcmp(head, "rating") != 0
					 ? "Steps are strengths of regularization that are tried first, on a part "
					   "of the pairs; the last iterations train on all."
					 : "The error on ratings trained on, and on some of those held out. Of "
					   "mcmc the former is that of one sample, the latter that of their mean "
					   "so far.");
	fm_card_end(page);
}

/* Read the curve of a head, and draw it. Returns whether there is one. */
static bool
draw_head(FmPage *page, const char *head)
{
	const FmColumn columns[] = {[CURVE_ITERATION] = {"iteration", INT4OID},
								[CURVE_TRAIN_METRIC] = {"train_metric", TEXTOID},
								[CURVE_TRAIN] = {"train_value", FLOAT4OID},
								[CURVE_TEST_METRIC] = {"test_metric", TEXTOID},
								[CURVE_TEST] = {"test_value", FLOAT4OID}};
	const char *const series[] = {"training", "held out"};
	char *name = "error";
	FmChart chart = fm_page_chart(page, "", "iteration", ""), test_chart = chart;
	bool is_rating = strcmp(head, "rating") == 0, tested = false;
	Line train, test;
	FmRows rows;

	fm_page_query(
		page, columns, lengthof(columns),
		psprintf("FROM (SELECT *, max(iteration) OVER () AS iterations FROM %s "
				 "WHERE model = $1 AND version = (SELECT max(version) FROM %s "
				 "WHERE model = $1 AND version <= $2) AND head = '%s') c "
				 "WHERE iteration = iterations OR iteration %% ((iterations + %d) / %d) = 0 "
				 "ORDER BY iteration",
				 fm_page_name(page, "fm_curve"), fm_page_name(page, "fm_curve"), head,
				 MOST_POINTS - 1, MOST_POINTS),
		&rows);
	train = new_line(rows.count);
	test = new_line(rows.count);
	while (fm_rows_next(&rows))
	{
		int iteration = fm_row_integer(&rows.row, CURVE_ITERATION);
		float tried = fm_row_real_or(&rows.row, CURVE_TEST, NAN);

		name = fm_row_text(&rows.row, CURVE_TRAIN_METRIC);
		tested |= !isnan(tried);
		add_point(&train, &chart, iteration, fm_row_real_or(&rows.row, CURVE_TRAIN, NAN));
		add_point(&test, is_rating ? &chart : &test_chart, iteration, tried);
	}
	fm_rows_end(&rows);
	if (train.count == 0)
		return false;
	if (is_rating || !tested)
		draw_curve(page, head, name, (const Line *[2]){&train, tested ? &test : NULL}, series,
				   &chart);
	else
		draw_curve(page, head, "held-out pairs in order (auc)", (const Line *[2]){NULL, &test},
				   series, &test_chart);
	return true;
}

void
fm_section_curves(FmPage *page)
{
	static const char *const heads[] = {"rating", "interest", "ranking"};
	bool any = false;

	for (int i = 0; i < lengthof(heads); i++)
		any |= draw_head(page, heads[i]);
	if (any)
		return;
	fm_card_begin(page, "Learning curve", false);
	fm_paragraph(page, "No training of this model has been recorded here.");
	fm_card_end(page);
}

/* A row of fm_runs. */
enum
{
	RUN_VERSION,
	RUN_STATUS,
	RUN_STARTED,
	RUN_SECONDS,
	RUN_SOLVER,
	RUN_RATINGS,
	RUN_VALUE,
	RUN_MESSAGE
};

static void
add_text_cell(FmPage *page, const FmRow *row, int column, const char *class)
{
	fm_text_format(&page->html, "<td class='%s'>", class);
	if (!fm_row_is_null(row, column))
		fm_text_escape(&page->html, fm_row_text(row, column));
	fm_text_add(&page->html, "</td>");
}

void
fm_section_runs(FmPage *page)
{
	const char *metric = fm_metric_name(page->task);
	const FmColumn columns[] = {
		[RUN_VERSION] = {"version::pg_catalog.text", TEXTOID},
		[RUN_STATUS] = {"status", TEXTOID},
		[RUN_STARTED] = {"pg_catalog.to_char(started_at, 'YYYY-MM-DD HH24:MI')", TEXTOID},
		[RUN_SECONDS] = {"pg_catalog.round(extract(epoch FROM finished_at - started_at)::numeric, "
						 "1)::pg_catalog.text",
						 TEXTOID},
		[RUN_SOLVER] = {"solver", TEXTOID},
		[RUN_RATINGS] = {"ratings::pg_catalog.text", TEXTOID},
		[RUN_VALUE] = {psprintf("pg_catalog.round((test_metrics ->> '%s')::numeric, "
								"4)::pg_catalog.text",
								metric),
					   TEXTOID},
		[RUN_MESSAGE] = {"message", TEXTOID}};
	FmRows rows;

	fm_page_query(page, columns, lengthof(columns),
				  psprintf("FROM %s r WHERE model = $1 AND $2 > 0 ORDER BY r.version DESC LIMIT %d",
						   fm_page_name(page, "fm_runs"), RUNS_LISTED),
				  &rows);
	fm_card_begin(page, "Recent runs", true);
	if (rows.count == 0)
		fm_paragraph(page, "There are none: the model is trained elsewhere.");
	else
	{
		fm_text_add(&page->html, "<div class='scroll'><table><tr><th class='number'>version</th>"
								 "<th>status</th><th>started</th><th class='number'>seconds</th>"
								 "<th>solver</th><th class='number'>ratings</th><th class='number'>"
								 "test ");
		fm_text_escape(&page->html, metric);
		fm_text_add(&page->html, "</th><th>message</th></tr>\n");
	}
	while (fm_rows_next(&rows))
	{
		static const char *const classes[] = {"number", "word",	  "word",	"number",
											  "word",	"number", "number", "message"};

		fm_text_add(&page->html, "<tr>");
		for (int c = RUN_VERSION; c <= RUN_MESSAGE; c++)
			add_text_cell(page, &rows.row, c, classes[c]);
		fm_text_add(&page->html, "</tr>\n");
	}
	if (rows.count > 0)
		fm_text_add(&page->html, "</table></div>");
	fm_card_end(page);
	fm_rows_end(&rows);
}

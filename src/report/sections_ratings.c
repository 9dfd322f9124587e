/*
 * The sections of a report on ratings and what the model predicts of them.
 */
#include "report/sections.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "registry/definition.h"

/* How many ratings are compared, which takes some 20 µs each. */
#define ROWS 5000

#define CALIBRATION_BINS 10
#define DISTRIBUTION_BINS 20

/* Residuals are counted in bins of a fourth of their deviation, up to four of them away. */
#define BINS_PER_DEVIATION 4
#define RESIDUAL_BINS 32

/* Return a call of a function of a relation's ratings, with other arguments. */
static char *
of_ratings(const FmPage *page, const char *function, const char *arguments)
{
	return psprintf("%s(%u::pg_catalog.regclass, $1, %srows => %d)", fm_page_name(page, function),
					page->ratings, arguments, ROWS);
}

static const char *
rating_label(const FmPage *page)
{
	return fm_is_classification(page->task) ? "share of yes" : "mean rating";
}

void
fm_section_calibration(FmPage *page)
{
	enum
	{
		PREDICTED,
		OBSERVED,
		ERROR_OF_IT
	};
	const FmColumn columns[] = {[PREDICTED] = {"predicted", FLOAT8OID},
								[OBSERVED] = {"observed", FLOAT8OID},
								[ERROR_OF_IT] = {"standard_error", FLOAT8OID}};
	FmChart chart = fm_page_chart(page, "Predictions and ratings, by bins of the prediction",
								  fm_is_classification(page->task) ? "predicted probability"
																   : "mean prediction",
								  rating_label(page));
	double predicted[CALIBRATION_BINS], observed[CALIBRATION_BINS], error[CALIBRATION_BINS];
	int count = 0;
	FmRows rows;

	fm_page_query(page, columns, lengthof(columns),
				  psprintf("FROM %s c WHERE $2 > 0 ORDER BY bin",
						   of_ratings(page, "fm_calibration",
									  psprintf("bins => %d, ", CALIBRATION_BINS))),
				  &rows);
	while (fm_rows_next(&rows) && count < CALIBRATION_BINS)
	{
		predicted[count] = fm_row_double(&rows.row, PREDICTED);
		observed[count] = fm_row_double(&rows.row, OBSERVED);
		error[count] = 2 * fm_row_double_or(&rows.row, ERROR_OF_IT, 0);
		fm_axis_include(&chart.x, predicted[count]);
		fm_axis_include(&chart.y, observed[count] - error[count]);
		fm_axis_include(&chart.y, observed[count] + error[count]);
		count++;
	}
	fm_rows_end(&rows);
	chart.x.is_share = chart.y.is_share = fm_is_classification(page->task);
	fm_card_begin(page, "Calibration", false);
	fm_chart_begin(&chart, NULL, 0);
	fm_chart_diagonal(&chart);
	for (int i = 0; i < count; i++)
	{
		fm_chart_range(&chart, 0, predicted[i], observed[i] - error[i], observed[i] + error[i]);
		fm_chart_point(&chart, 0, predicted[i], observed[i], 4, NULL);
	}
	fm_chart_end(&chart);
	fm_paragraph(page,
				 "Each point is a tenth of the ratings, with two standard errors. On the dashed "
				 "line, predictions mean what they say. Ratings that the model was trained on "
				 "are further apart than their predictions, which is as it should be.");
	fm_card_end(page);
}

void
fm_section_residuals(FmPage *page)
{
	enum
	{
		BIN,
		COUNT,
		DEVIATION,
		BIAS
	};
	const FmColumn columns[] = {[BIN] = {"bin", INT4OID},
								[COUNT] = {"count(*)", INT8OID},
								[DEVIATION] = {"min(deviation)", FLOAT8OID},
								[BIAS] = {"min(bias)", FLOAT8OID}};
	const int half = RESIDUAL_BINS / 2;
	FmChart chart = fm_page_chart(page, "Residuals", "rating less prediction", "ratings");
	double counts[RESIDUAL_BINS] = {0}, width = 0, deviation = 0, bias = 0;
	FmRows rows;

	fm_page_query(
		page, columns, lengthof(columns),
		psprintf("FROM (SELECT greatest(least(floor(%d * residual / nullif(deviation, 0)), %d), "
				 "-%d)::integer AS bin, deviation, bias FROM (SELECT residual, "
				 "stddev_pop(residual) OVER () AS deviation, avg(residual) OVER () AS bias "
				 "FROM (SELECT rating - prediction AS residual FROM %s p WHERE $2 > 0 AND "
				 "prediction IS NOT NULL) p) p) p "
				 "WHERE bin IS NOT NULL GROUP BY bin ORDER BY bin",
				 BINS_PER_DEVIATION, half - 1, half, of_ratings(page, "fm_predictions", "")),
		&rows);
	while (fm_rows_next(&rows))
	{
		counts[half + fm_row_integer(&rows.row, BIN)] = (double) fm_row_bigint(&rows.row, COUNT);
		deviation = fm_row_double(&rows.row, DEVIATION);
		bias = fm_row_double(&rows.row, BIAS);
	}
	fm_rows_end(&rows);
	width = deviation / BINS_PER_DEVIATION;
	fm_card_begin(page, "Residuals", false);
	if (deviation == 0)
		fm_paragraph(page, "There is none: all predictions are right, or there are no ratings.");
	else
	{
		fm_axis_include(&chart.y, 0);
		for (int b = 0; b < RESIDUAL_BINS; b++)
			fm_axis_include(&chart.y, counts[b]);
		fm_axis_include(&chart.x, -half * width);
		fm_axis_include(&chart.x, half * width);
		fm_chart_begin(&chart, NULL, 0);
		for (int b = 0; b < RESIDUAL_BINS; b++)
			if (counts[b] > 0)
				fm_chart_bar(&chart, 0, (b - half + 0.06) * width, (b - half + 0.94) * width,
							 counts[b]);
		fm_chart_end(&chart);
		fm_paragraph(page, psprintf("Their mean is %.3g, their standard deviation %.3g. What is "
									"further out is in the outermost bars.",
									bias, deviation));
	}
	fm_card_end(page);
}

void
fm_section_distribution(FmPage *page)
{
	enum
	{
		LOWER,
		UPPER,
		RATINGS,
		PREDICTIONS
	};
	const FmColumn columns[] = {[LOWER] = {"lower_bound", FLOAT8OID},
								[UPPER] = {"upper_bound", FLOAT8OID},
								[RATINGS] = {"ratings_in_bin", INT8OID},
								[PREDICTIONS] = {"predictions_in_bin", INT8OID}};
	const char *const series[] = {"ratings", "predictions"};
	FmChart chart = fm_page_chart(page, "Ratings and predictions by value",
								  fm_is_classification(page->task)
									  ? "no (0) to yes (1), probability"
									  : "rating",
								  "ratings");
	double bins[4][DISTRIBUTION_BINS];
	int count = 0;
	FmRows rows;

	fm_page_query(page, columns, lengthof(columns),
				  psprintf("FROM %s d WHERE $2 > 0 ORDER BY bin",
						   of_ratings(page, "fm_rating_distribution",
									  psprintf("bins => %d, ", DISTRIBUTION_BINS))),
				  &rows);
	fm_axis_include(&chart.y, 0);
	while (fm_rows_next(&rows) && count < DISTRIBUTION_BINS)
	{
		bins[LOWER][count] = fm_row_double(&rows.row, LOWER);
		bins[UPPER][count] = fm_row_double(&rows.row, UPPER);
		for (int c = RATINGS; c <= PREDICTIONS; c++)
		{
			bins[c][count] = (double) fm_row_bigint(&rows.row, c);
			fm_axis_include(&chart.y, bins[c][count]);
		}
		fm_axis_include(&chart.x, bins[LOWER][count]);
		fm_axis_include(&chart.x, bins[UPPER][count]);
		count++;
	}
	fm_rows_end(&rows);
	fm_card_begin(page, "Ratings and predictions", false);
	fm_chart_begin(&chart, series, lengthof(series));
	for (int c = RATINGS; c <= PREDICTIONS; c++)
		for (int b = 0; b < count; b++)
		{
			double width = bins[UPPER][b] - bins[LOWER][b];
			double left = bins[LOWER][b] + width * (c == RATINGS ? 0.08 : 0.5);

			if (bins[c][b] > 0)
				fm_chart_bar(&chart, c - RATINGS, left, left + width * 0.42, bins[c][b]);
		}
	fm_chart_end(&chart);
	fm_paragraph(page, "A prediction is a mean of what may come, so predictions are nearer to the "
					   "middle than ratings.");
	fm_card_end(page);
}

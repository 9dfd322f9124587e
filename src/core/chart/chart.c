/*
 * Charts as SVG. Nothing is owned: all is written to the chart's text.
 */
#include "core/chart/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LEFT 56
#define RIGHT 24
#define TOP 10
#define BOTTOM 46
#define LEGEND 22

#define WANTED_TICKS 5

/* The size of a label in a map, in the units of the picture. */
#define LABEL_HEIGHT 15
#define LETTER_WIDTH 6.8
#define LABEL_LETTERS 24

void
fm_axis_include(FmAxis *axis, double value)
{
	if (!isfinite(value))
		return;
	if (axis->low > axis->high)
		axis->low = axis->high = value;
	axis->low = fmin(axis->low, value);
	axis->high = fmax(axis->high, value);
}

double
fm_axis_step(double low, double high, int wanted, double *first)
{
	double rough = (high - low) / wanted;
	double power = pow(10, floor(log10(rough)));
	double part = rough / power * (1 - 1e-9); /* a step that is round already stays */
	double step = power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);

	*first = ceil(low / step - 1e-9) * step;
	return step;
}

static double
step_of(const FmAxis *axis, double *first)
{
	double step = fm_axis_step(axis->low, axis->high, WANTED_TICKS, first);

	if (!axis->is_whole || step >= 1)
		return step;
	*first = ceil(axis->low);
	return 1;
}

/* Extend an axis of numbers to the ticks around it. */
static void
round_axis(FmAxis *axis)
{
	double first, step;

	if (axis->names != NULL)
	{
		axis->low = -0.5;
		axis->high = axis->num_names - 0.5;
		return;
	}
	if (!(axis->low <= axis->high))
		axis->low = axis->high = 0;
	if (axis->low == axis->high)
	{
		double margin = fmax(fabs(axis->low) * 0.1, 1e-6);

		axis->low -= margin;
		axis->high += margin;
	}
	step = step_of(axis, &first);
	axis->low = floor(axis->low / step + 1e-9) * step;
	axis->high = ceil(axis->high / step - 1e-9) * step;
}

static double
place_x(const FmChart *chart, double x)
{
	double left = chart->frameless ? 4 : LEFT, right = chart->frameless ? 4 : RIGHT;

	return left +
		   (x - chart->x.low) / (chart->x.high - chart->x.low) * (chart->width - left - right);
}

static double
place_y(const FmChart *chart, double y)
{
	double top = chart->frameless ? 4 : TOP + (chart->has_legend ? LEGEND : 0),
		   bottom = chart->frameless ? 4 : BOTTOM;

	return chart->height - bottom -
		   (y - chart->y.low) / (chart->y.high - chart->y.low) * (chart->height - top - bottom);
}

/* Write a number as the ticks of an axis have it. */
static void
write_number(FmChart *chart, const FmAxis *axis, double value, double step)
{
	double shown = axis->is_share ? 100 * value : value;
	double shown_step = axis->is_share ? 100 * step : step;
	int decimals = (int) ceil(-log10(shown_step) - 1e-9);

	if (fabs(shown) < shown_step / 2)
		shown = 0;
	if (fabs(shown) >= 1e6)
		fm_text_format(chart->out, "%.3g", shown);
	else
		fm_text_format(chart->out, "%.*f", decimals > 0 ? decimals : 0, shown);
	if (axis->is_share)
		fm_text_add(chart->out, "%");
}

static void
draw_x_axis(FmChart *chart)
{
	const FmAxis *axis = &chart->x;
	double bottom = chart->height - BOTTOM, first, step;
	int every = (axis->num_names + 7) / 8;

	if (axis->names != NULL)
		for (int i = 0; i < axis->num_names; i += every)
		{
			fm_text_format(chart->out, "<text class='tick' x='%.1f' y='%.1f' text-anchor='middle'>",
						   place_x(chart, i), bottom + 16);
			fm_text_escape(chart->out, axis->names[i]);
			fm_text_add(chart->out, "</text>");
		}
	else
	{
		step = step_of(axis, &first);
		for (double x = first; x <= axis->high + step * 1e-6; x += step)
		{
			fm_text_format(chart->out, "<text class='tick' x='%.1f' y='%.1f' text-anchor='middle'>",
						   place_x(chart, x), bottom + 16);
			write_number(chart, axis, x, step);
			fm_text_add(chart->out, "</text>");
		}
	}
	fm_text_format(chart->out, "<path class='axis' d='M%d %.1fH%d'/>", LEFT, bottom,
				   chart->width - RIGHT);
	fm_text_format(chart->out, "<text class='label' x='%.1f' y='%d' text-anchor='middle'>",
				   (LEFT + chart->width - RIGHT) / 2.0, chart->height - 8);
	fm_text_escape(chart->out, axis->label);
	fm_text_add(chart->out, "</text>");
}

static void
draw_y_axis(FmChart *chart)
{
	const FmAxis *axis = &chart->y;
	double first, step = step_of(axis, &first);
	double middle = (TOP + chart->height - BOTTOM) / 2.0;

	for (double y = first; y <= axis->high + step * 1e-6; y += step)
	{
		double at = place_y(chart, y);

		fm_text_format(chart->out, "<path class='grid' d='M%d %.1fH%d'/>", LEFT, at,
					   chart->width - RIGHT);
		fm_text_format(chart->out, "<text class='tick' x='%d' y='%.1f' text-anchor='end'>",
					   LEFT - 6, at + 4);
		write_number(chart, axis, y, step);
		fm_text_add(chart->out, "</text>");
	}
	fm_text_format(chart->out,
				   "<text class='label' text-anchor='middle' transform='translate(12 %.1f) "
				   "rotate(-90)'>",
				   middle);
	fm_text_escape(chart->out, axis->label);
	fm_text_add(chart->out, "</text>");
}

static void
draw_legend(FmChart *chart, const char *const *series, int num_series)
{
	double x = LEFT;

	for (int s = 0; s < num_series; s++)
	{
		fm_text_format(chart->out,
					   "<rect class='s%d fill' x='%.1f' y='6' width='12' height='12' "
					   "rx='2'/><text class='legend' x='%.1f' y='16'>",
					   s, x, x + 17);
		fm_text_escape(chart->out, series[s]);
		fm_text_add(chart->out, "</text>");
		x += 17 + 7.2 * (double) strlen(series[s]) + 14;
	}
}

void
fm_chart_begin(FmChart *chart, const char *const *series, int num_series)
{
	chart->has_legend = num_series > 1;
	if (!chart->frameless)
	{
		round_axis(&chart->x);
		round_axis(&chart->y);
	}
	fm_text_format(chart->out, "<svg viewBox='0 0 %d %d' role='img'><title>", chart->width,
				   chart->height);
	fm_text_escape(chart->out, chart->title);
	fm_text_add(chart->out, "</title>");
	if (chart->frameless)
		return;
	draw_y_axis(chart);
	draw_x_axis(chart);
	if (chart->has_legend)
		draw_legend(chart, series, num_series);
}

void
fm_chart_end(FmChart *chart)
{
	fm_text_add(chart->out, "</svg>\n");
}

void
fm_chart_line(FmChart *chart, int series, const double *x, const double *y, int count)
{
	const char *command = "M";

	fm_text_format(chart->out, "<path class='s%d line' d='", series);
	for (int i = 0; i < count; i++)
	{
		if (!isfinite(x[i]) || !isfinite(y[i]))
			continue;
		fm_text_format(chart->out, "%s%.1f %.1f", command, place_x(chart, x[i]),
					   place_y(chart, y[i]));
		command = "L";
	}
	fm_text_add(chart->out, "'/>");
}

void
fm_chart_bar(FmChart *chart, int series, double left, double right, double y)
{
	double from = place_x(chart, left), to = place_x(chart, right);
	double top = place_y(chart, y), bottom = place_y(chart, fmax(chart->y.low, 0));

	fm_text_format(chart->out,
				   "<rect class='s%d fill' x='%.1f' y='%.1f' width='%.1f' height='%.1f'/>", series,
				   from, fmin(top, bottom), fmax(to - from, 0.5), fabs(bottom - top));
}

void
fm_chart_point(FmChart *chart, int series, double x, double y, double radius, const char *title)
{
	fm_text_format(chart->out, "<circle class='s%d fill' cx='%.1f' cy='%.1f' r='%.1f'", series,
				   place_x(chart, x), place_y(chart, y), radius);
	if (title == NULL)
	{
		fm_text_add(chart->out, "/>");
		return;
	}
	fm_text_add(chart->out, "><title>");
	fm_text_escape(chart->out, title);
	fm_text_add(chart->out, "</title></circle>");
}

void
fm_chart_range(FmChart *chart, int series, double x, double low, double high)
{
	fm_text_format(chart->out, "<path class='s%d line' d='M%.1f %.1fV%.1f'/>", series,
				   place_x(chart, x), place_y(chart, fmax(low, chart->y.low)),
				   place_y(chart, fmin(high, chart->y.high)));
}

void
fm_chart_diagonal(FmChart *chart)
{
	double low = fmax(chart->x.low, chart->y.low), high = fmin(chart->x.high, chart->y.high);

	if (low >= high)
		return;
	fm_text_format(chart->out, "<path class='diagonal' d='M%.1f %.1fL%.1f %.1f'/>",
				   place_x(chart, low), place_y(chart, low), place_x(chart, high),
				   place_y(chart, high));
}

/* Return how many bytes of a text in UTF-8 its first letters take. */
static size_t
first_letters(const char *string, int most, int *letters)
{
	size_t bytes = 0;

	*letters = 0;
	while (string[bytes] != '\0')
	{
		if ((string[bytes] & 0xC0) != 0x80 && ++*letters > most)
			break;
		bytes++;
	}
	return bytes;
}

static bool
overlaps(const FmLabelBox *a, const FmLabelBox *b)
{
	return a->left < b->right && b->left < a->right && a->top < b->bottom && b->top < a->bottom;
}

bool
fm_chart_label(FmChart *chart, double x, double y, const char *string, FmLabelBox *taken,
			   int *num_taken)
{
	char shown[LABEL_LETTERS * 4 + 8];
	int letters;
	size_t bytes = first_letters(string, LABEL_LETTERS, &letters);
	bool cut = string[bytes] != '\0';
	double at = place_x(chart, x), width;
	FmLabelBox box;

	snprintf(shown, sizeof(shown), "%.*s%s", (int) bytes, string, cut ? "…" : "");
	width = (letters < LABEL_LETTERS ? letters : LABEL_LETTERS + 1) * LETTER_WIDTH + 5;
	at += at + width > chart->width - 2 ? -width : 5;
	box = (FmLabelBox){at, at + width, place_y(chart, y) - LABEL_HEIGHT / 2.0,
					   place_y(chart, y) + LABEL_HEIGHT / 2.0};
	for (int i = 0; i < *num_taken; i++)
		if (overlaps(&box, &taken[i]))
			return false;
	taken[(*num_taken)++] = box;
	fm_text_format(chart->out, "<text class='name' x='%.1f' y='%.1f'>", at, box.bottom - 3);
	fm_text_escape(chart->out, shown);
	fm_text_add(chart->out, "</text>");
	return true;
}

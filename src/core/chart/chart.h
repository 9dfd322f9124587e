/*
 * Charts as SVG: axes with round numbers, lines, bars, points, a legend.
 *
 * Colours, fonts and widths are those of CSS classes: s0, s1, ... of the series, and grid, axis,
 * tick, label, legend of the frame. What a chart is made of is drawn between fm_chart_begin and
 * fm_chart_end, in the units of the axes.
 */
#ifndef FMTOPX_CORE_CHART_H
#define FMTOPX_CORE_CHART_H

#include <stdbool.h>

#include "core/chart/text.h"

typedef struct FmAxis
{
	const char *label;
	double low;
	double high;
	bool is_share;			  /* from 0 to 1, shown in percent */
	bool is_whole;			  /* whole numbers */
	const char *const *names; /* of the places 0, 1, ...; or NULL: numbers */
	int num_names;
} FmAxis;

typedef struct FmChart
{
	FmText *out;
	const char *title;
	int width;
	int height;
	FmAxis x;
	FmAxis y;
	bool frameless;	 /* without axes, as in a map */
	bool has_legend; /* set by fm_chart_begin */
} FmChart;

/* Extend an axis to hold a value; one that is not finite is ignored. Begin with low > high. */
extern void fm_axis_include(FmAxis *axis, double value);

/*
 * Return the step of about `wanted` ticks, 1, 2 or 5 times a power of ten; and set the first tick,
 * which is at or above low.
 */
extern double fm_axis_step(double low, double high, int wanted, double *first);

/*
 * Begin a chart. Axes of numbers are extended to their outermost ticks. `series` are the names of
 * the legend; there is none for fewer than two.
 */
extern void fm_chart_begin(FmChart *chart, const char *const *series, int num_series);
extern void fm_chart_end(FmChart *chart);

/* Draw a line through points, those that are not finite left out. */
extern void fm_chart_line(FmChart *chart, int series, const double *x, const double *y, int count);

/* Draw a bar from the lower edge of the chart. */
extern void fm_chart_bar(FmChart *chart, int series, double left, double right, double y);

/* Draw a point; `title` is shown by a pointer on it, or NULL. */
extern void fm_chart_point(FmChart *chart, int series, double x, double y, double radius,
						   const char *title);

/* Draw a vertical range, as of an error. */
extern void fm_chart_range(FmChart *chart, int series, double x, double low, double high);

/* Draw the line y = x. */
extern void fm_chart_diagonal(FmChart *chart);

/*
 * Write a text beside a point, unless it would cover one that is there already. `taken` has room
 * for all that are tried. Return whether it is written.
 */
typedef struct FmLabelBox
{
	double left;
	double right;
	double top;
	double bottom;
} FmLabelBox;

extern bool fm_chart_label(FmChart *chart, double x, double y, const char *string,
						   FmLabelBox *taken, int *num_taken);

#endif

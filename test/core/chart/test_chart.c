/*
 * Charts: round ticks, escaping, places, labels that do not cover each other. Prints TAP.
 */
#include <math.h>
#include <string.h>

#include "core/chart/chart.h"
#include "support/host.h"
#include "support/tap.h"

static void
test_steps(void)
{
	static const double ranges[][4] = {{0, 1, 0.2, 0},			{0.3, 9.7, 2, 2},
									   {-7, 13, 5, -5},			{0.891, 0.902, 0.005, 0.895},
									   {0, 123456, 50000, 0},	{1e-9, 5e-9, 1e-9, 1e-9},
									   {0.84, 0.94, 0.02, 0.84}};
	int right = 0;

	for (int i = 0; i < 7; i++)
	{
		double first, step = fm_axis_step(ranges[i][0], ranges[i][1], 5, &first);

		right += fabs(step / ranges[i][2] - 1) < 1e-9 && fabs(first - ranges[i][3]) < step * 1e-6;
	}
	ok(right == 7, "steps are round, and ticks multiples of them");
}

static void
test_escape(void)
{
	FmText text;

	fm_text_begin(&text, &host);
	for (int i = 0; i < 20000; i++)
		fm_text_escape(&text, "<&>\"'\x01");
	ok(strncmp(text.data, "&lt;&amp;&gt;&quot;&#39; ", 25) == 0 && text.length == 20000 * 25 &&
		   strchr(text.data, '<') == NULL,
	   "anything is escaped, of any length");
	host.release(host.ctx, text.data);
}

static void
test_chart(void)
{
	FmText text;
	FmChart chart = {.out = &text,
					 .title = "<t>",
					 .width = 440,
					 .height = 280,
					 .x = {.label = "x", .low = 0, .high = 9.3},
					 .y = {.label = "a & b", .low = 1, .high = -1}};
	const double x[] = {0, 5, 10}, y[] = {1, NAN, 3};
	const char *const series[] = {"one", "two"};

	fm_text_begin(&text, &host);
	for (int i = 0; i < 3; i++)
		fm_axis_include(&chart.y, y[i]);
	fm_chart_begin(&chart, series, 2);
	ok(chart.x.high == 10 && chart.y.low == 1 && chart.y.high == 3, "axes end at ticks");
	fm_chart_line(&chart, 0, x, y, 3);
	fm_chart_end(&chart);
	ok(strstr(text.data, "&lt;t&gt;") != NULL && strstr(text.data, "a &amp; b") != NULL &&
		   strstr(text.data, "M56.0 234.0L416.0 32.0'") != NULL && strstr(text.data, "nan") == NULL,
	   "a line goes from corner to corner, without what is not finite");
	host.release(host.ctx, text.data);
}

static void
test_flat(void)
{
	FmText text;
	FmChart chart = {.out = &text, .title = "", .width = 440, .height = 280};

	chart.x = chart.y = (FmAxis){.label = "", .low = 1, .high = -1};
	fm_text_begin(&text, &host);
	fm_axis_include(&chart.x, INFINITY);
	fm_axis_include(&chart.y, 7);
	fm_chart_begin(&chart, NULL, 0);
	ok(chart.x.low < chart.x.high && chart.y.low < 7 && chart.y.high > 7 &&
		   strstr(text.data, "nan") == NULL && strstr(text.data, "inf") == NULL,
	   "axes of one value, and of none");
	host.release(host.ctx, text.data);
}

static void
test_labels(void)
{
	FmText text;
	FmChart chart = {.out = &text, .title = "", .width = 440, .height = 440, .frameless = true};
	FmLabelBox taken[4];
	int count = 0;

	chart.x = chart.y = (FmAxis){.label = "", .low = 0, .high = 1};
	fm_text_begin(&text, &host);
	ok(fm_chart_label(&chart, 0.5, 0.5, "here", taken, &count) &&
		   !fm_chart_label(&chart, 0.51, 0.5, "there", taken, &count) &&
		   fm_chart_label(&chart, 0.51, 0.9, "elsewhere", taken, &count) && count == 2,
	   "labels do not cover each other");
	(void) fm_chart_label(&chart, 1, 0.1, "äöüäöüäöüäöüäöüäöüäöüäöüäöüäöü", taken, &count);
	ok(strstr(text.data, ">äöüäöüäöüäöüäöüäöüäöüäöü…<") != NULL && taken[2].right <= 440,
	   "a long one is cut between letters, and stays inside");
	host.release(host.ctx, text.data);
}

int
main(void)
{
	test_steps();
	test_escape();
	test_chart();
	test_flat();
	test_labels();
	return done_testing();
}

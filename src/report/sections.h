/*
 * The sections of a report.
 */
#ifndef FMTOPX_SECTIONS_H
#define FMTOPX_SECTIONS_H

#include "report/page.h"

/* sections_quality.c: metrics, learning curves, runs */
extern void fm_section_metrics(FmPage *page);
extern void fm_section_history(FmPage *page);
extern void fm_section_curves(FmPage *page);
extern void fm_section_runs(FmPage *page);

/* sections_ratings.c: ratings beside predictions */
extern void fm_section_calibration(FmPage *page);
extern void fm_section_residuals(FmPage *page);
extern void fm_section_distribution(FmPage *page);

/* sections_lists.c: what is recommended */
extern void fm_section_popularity(FmPage *page);
extern void fm_section_map(FmPage *page);
extern void fm_section_lists(FmPage *page);
extern void fm_section_similar(FmPage *page);

#endif

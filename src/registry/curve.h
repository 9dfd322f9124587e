/*
 * The curves of a training: what each iteration of its heads reached, for the view fm_curve.
 */
#ifndef FMTOPX_REGISTRY_CURVE_H
#define FMTOPX_REGISTRY_CURVE_H

#include "pg/compat.h"

#include "core/host.h"
#include "core/model/parameters.h"
#include "utils/timestamp.h"

/* One head's curve, by iteration. Starts as {0}, which is one without iterations. */
typedef struct FmCurve
{
	MemoryContext context; /* that the arrays are in */
	TimestampTz since;	   /* what seconds are counted from */
	FmTask task;		   /* of the head: that of an interest head is a ranking */
	const char *model;	   /* its name */
	TimestampTz noticed;   /* when the last notice was sent, or 0 */
	int count;
	int size; /* that the arrays have room for */
	float *seconds;
	float *error;
	float *test; /* NaN: no held-out rating was predicted */
} FmCurve;

/*
 * Let a host record the iterations of a head, in the current context. They are shown in fm_progress
 * as well, and with fmtopx.progress in notices.
 */
extern void fm_curve_record(FmCurve *curve, FmTask task, const char *model, TimestampTz since,
							FmHost *host);

/* Save a curve of a run, unless it has no iterations. SPI must be connected. */
extern void fm_registry_save_curve(Oid schema, const char *model, int version, const char *head,
								   const FmCurve *curve);

#endif

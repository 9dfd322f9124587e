/*
 * The differences between PostgreSQL 13 to 18 that matter to the glue.
 *
 * No other file tests PG_VERSION_NUM (`make lint` checks that).
 */
#ifndef FMTOPX_COMPAT_H
#define FMTOPX_COMPAT_H

#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/tuplestore.h"

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#if PG_VERSION_NUM < 130000
#error "fmtopx needs PostgreSQL 13 or newer"
#endif

/* 18 moved the mark of a function that never returns to the front of the declaration. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn _Noreturn
#endif

/* 15 replaced the warning about unknown settings with a prefix by a reservation of the prefix. */
#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* 16 replaced the functions for each kind of object by one for (class, object). */
#if PG_VERSION_NUM < 160000
#define fm_namespace_aclcheck(schema, role, mode) pg_namespace_aclcheck(schema, role, mode)
#else
#define fm_namespace_aclcheck(schema, role, mode)                                                  \
	object_aclcheck(NamespaceRelationId, schema, role, mode)
#endif

/* 16 renamed the function that reads an entry of the activity array. */
#if PG_VERSION_NUM < 160000
#define fm_local_backend_entry(i) pgstat_fetch_stat_local_beentry(i)
#else
#define fm_local_backend_entry(i) pgstat_get_local_beentry_by_index(i)
#endif

/* This backend's entry of the activity array, or NULL: 13 keeps it to itself. */
#if PG_VERSION_NUM < 140000
#define fm_own_backend_entry() ((const PgBackendStatus *) NULL)
#else
#define fm_own_backend_entry() ((const PgBackendStatus *) MyBEEntry)
#endif

/* Release a cached plan that no resource owner knows of. 14 replaced the flag by the owner. */
#if PG_VERSION_NUM < 140000
#define fm_release_unowned_plan(plan) ReleaseCachedPlan(plan, false)
#else
#define fm_release_unowned_plan(plan) ReleaseCachedPlan(plan, NULL)
#endif

/* 14 renamed the symbols of predefined roles. */
#if PG_VERSION_NUM < 140000
#define ROLE_PG_READ_ALL_STATS DEFAULT_ROLE_READ_ALL_STATS
#endif

/*
 * Return an area of shared memory that all backends find by its name. The first call creates and
 * initializes it; it is an error if there is no room. 17 has named segments. Before 17, the area is
 * taken from what the main shared memory has left over.
 */
#if PG_VERSION_NUM >= 170000
#include "storage/dsm_registry.h"
static inline void *
fm_shared_area(const char *name, Size size, void (*init)(void *))
{
	bool found;

	return GetNamedDSMSegment(name, size, init, &found);
}
#else
static inline void *
fm_shared_area(const char *name, Size size, void (*init)(void *))
{
	bool found;
	void *area;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	area = ShmemInitStruct(name, size, &found);
	if (!found)
		init(area);
	LWLockRelease(AddinShmemInitLock);
	return area;
}
#endif

/*
 * Prepare a set-returning function that returns its rows in a tuplestore, with the row type that it
 * is declared with. 15 has InitMaterializedSRF for this.
 */
#if PG_VERSION_NUM < 150000
static inline void
fm_init_materialized_srf(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext previous;
	TupleDesc desc;

	if (result == NULL || !IsA(result, ReturnSetInfo) ||
		(result->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("set-valued function called in context that cannot accept a set")));
	previous = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	result->returnMode = SFRM_Materialize;
	result->setDesc = CreateTupleDescCopy(desc);
	result->setResult = tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0,
											  false, work_mem);
	MemoryContextSwitchTo(previous);
}
#else
#define fm_init_materialized_srf(fcinfo) InitMaterializedSRF(fcinfo, 0)
#endif

#endif

/*
 * The setting fmtopx.training_memory: how much memory a training needs, and whether it may have
 * that much.
 *
 * The need is so many bytes for each rating, plus what the solver takes for the users, items,
 * levels and factors. It is checked three times, as more becomes known:
 *
 * - Before the ratings are read. If the planner's estimate of their number would need too much,
 *   they are counted, and the count decides.
 * - While ratings and features are read.
 * - Before the solver starts, when the numbers of users and items are known.
 *
 * Locking: AccessShareLock by the queries. Memory: the current context.
 */
#include "source/budget.h"

#include "core/train/solver.h"
#include "executor/spi.h"
#include "nodes/plannodes.h"
#include "pg/sql.h"
#include "registry/definition.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"

#define BYTES_PER_RATING 20
#define BYTES_PER_WEIGHTED_RATING 28
#define BYTES_PER_CONTEXT 8 /* of a rating */
#define BYTES_PER_TIME 32	/* of a rating: times, sorted in two ways, and what they count */
#define BYTES_PER_PAIR 28	/* of the interest head */
#define BYTES_PER_ID 64		/* of a user or item: a hash table entry, its place in two orders */

int fm_training_memory = FM_DEFAULT_TRAINING_MEMORY;

static double
bytes_of_ratings(const FmDefinition *definition, double num_ratings)
{
	int bytes = definition->weight_column == NULL ? BYTES_PER_RATING : BYTES_PER_WEIGHTED_RATING;

	if (definition->num_context_columns > 0)
		bytes += BYTES_PER_CONTEXT;
	if (definition->time_column != NULL)
		bytes += BYTES_PER_TIME;
	return num_ratings * bytes;
}

static char *
pretty_size(double bytes)
{
	Datum size = Int64GetDatum((int64) Min(bytes, (double) PG_INT64_MAX / 2));

	return TextDatumGetCString(DirectFunctionCall1(pg_size_pretty, size));
}

/* Raise an error if a training needs more than the setting. qualifier: "about" or "at least". */
static void
check(const FmDefinition *definition, double bytes, const char *qualifier, int64 num_ratings,
	  int num_factors)
{
	double limit = fm_training_memory * 1024.0;
	char *factors = num_factors > 0 ? psprintf("%d", num_factors) : "chosen by the training";

	if (bytes <= limit)
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
		 errmsg("training on relation \"%s\" needs %s %s of memory, but fmtopx.training_memory is "
				"%s",
				get_rel_name(definition->ratings), qualifier, pretty_size(bytes),
				pretty_size(limit)),
		 errdetail("It has %s%lld ratings; num_factors is %s.",
				   strcmp(qualifier, "about") == 0 ? "" : "at least ", (long long) num_ratings,
				   factors),
		 errhint("Raise fmtopx.training_memory, train on a view with fewer ratings, or lower "
				 "num_factors.")));
}

/* Return how many rows the planner expects in a relation. */
static double
estimate_rows(const char *relation)
{
	SPIPlanPtr plan = SPI_prepare(psprintf("SELECT FROM %s", relation), 0, NULL);
	CachedPlan *cached = plan == NULL ? NULL : SPI_plan_get_cached_plan(plan);
	double rows = 0;

	if (cached != NULL)
	{
		rows = linitial_node(PlannedStmt, cached->stmt_list)->planTree->plan_rows;
		fm_release_unowned_plan(cached);
	}
	if (plan != NULL)
		SPI_freeplan(plan);
	return rows;
}

void
fm_check_budget_to_read(const FmDefinition *definition)
{
	char *relation = fm_relation_sql(definition->ratings);
	int64 rows;

	if (bytes_of_ratings(definition, estimate_rows(relation)) <= fm_training_memory * 1024.0)
		return;
	fm_sql_run(psprintf("SELECT count(*) FROM %s WHERE %s IS NOT NULL", relation,
						quote_identifier(definition->user_column)),
			   NULL, false);
	rows = DatumGetInt64(fm_sql_value(INT8OID));
	check(definition, bytes_of_ratings(definition, rows), "at least", rows,
		  definition->num_factors);
}

void
fm_check_budget_while_reading(const FmDefinition *definition, int64 num_ratings,
							  double context_bytes)
{
	check(definition, bytes_of_ratings(definition, num_ratings) + context_bytes, "at least",
		  num_ratings, definition->num_factors);
}

void
fm_check_budget_of_features(const FmDefinition *definition, Oid relation, double bytes)
{
	double limit = fm_training_memory * 1024.0;

	if (bytes > limit)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("training on relation \"%s\" with the features of \"%s\" needs at "
						"least %s of memory, but fmtopx.training_memory is %s",
						get_rel_name(definition->ratings), get_rel_name(relation),
						pretty_size(bytes), pretty_size(limit)),
				 errhint("Raise fmtopx.training_memory, or give a view with fewer columns or "
						 "values.")));
}

double
fm_ratings_in_memory(const FmDefinition *definition, int64 num_ratings, int32 num_users,
					 int32 num_items)
{
	return bytes_of_ratings(definition, num_ratings) +
		   ((double) num_users + num_items) * BYTES_PER_ID;
}

/* What a solver takes besides the ratings. */
typedef struct Sizes
{
	int64 num_ratings;
	int32 num_users;
	int32 num_items;
	const int32 *num_levels; /* of both sides */
	const FmContexts *contexts;
	int num_factors; /* of the model */
} Sizes;

static double
solve_size(const Sizes *sizes, const FmSolverOptions *options)
{
	return fm_solve_size(sizes->num_ratings, sizes->num_users, sizes->num_items, sizes->num_levels,
						 sizes->contexts, options);
}

/*
 * Return what ratings, solver and result of the interest head take. They take the place of those of
 * the rating head, but for its w and v. Before that, ratings and pairs are in memory at once, and
 * no solver.
 */
static double
interest_size(const FmDefinition *definition, const Sizes *sizes)
{
	const FmContexts none = {0};
	FmSolverOptions options = fm_interest_options(definition);
	Sizes pairs = *sizes;
	double entities = (double) sizes->num_users + sizes->num_items + 2.0 + sizes->num_levels[0] +
					  sizes->num_levels[1] + sizes->contexts->num_levels;
	double rating_head = entities * (sizes->num_factors + 1) * sizeof(float);
	double of_pairs = (double) sizes->num_ratings * BYTES_PER_PAIR;

	pairs.contexts = &none;
	return rating_head + of_pairs +
		   Max(solve_size(&pairs, &options), bytes_of_ratings(definition, sizes->num_ratings));
}

void
fm_check_budget_to_solve(const FmDefinition *definition, int64 num_ratings, int32 num_users,
						 int32 num_items, const int32 num_levels[2], double known_bytes,
						 const FmContexts *contexts)
{
	FmSolverOptions options = fm_solver_options(definition);
	int num_factors = definition->num_factors > 0
						  ? definition->num_factors
						  : fm_default_factors(definition->task, num_users, num_items);
	Sizes sizes = {num_ratings, num_users, num_items, num_levels, contexts, num_factors};
	double need = bytes_of_ratings(definition, num_ratings) + solve_size(&sizes, &options);

	if (fm_has_interest(definition))
		need = Max(need, interest_size(definition, &sizes));
	check(definition, need + known_bytes + ((double) num_users + num_items) * BYTES_PER_ID, "about",
		  num_ratings, num_factors);
}

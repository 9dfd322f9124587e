/*
 * Areas under the ROC curves of whole lists (curves.h).
 *
 * Users wait in a block until BLAS computes their scores together. Memory: that of the host; the
 * scores of a block, and its sets of items.
 */
#include "core/model/curves.h"

#include <string.h>

#include "core/bitset.h"

/* A user in the block. */
typedef struct Waiting
{
	int32_t *relevant; /* from the host */
	int32_t num_relevant;
} Waiting;

struct FmCurves
{
	const FmHost *host;
	const float *rows;
	const float *standing;
	int32_t num_items;
	int dim;
	FmRankingSums lists;
	FmRankingSums baseline;

	/* the block */
	int capacity;
	int count;
	Waiting *users;
	float *queries;		/* × dim */
	uint64_t *excluded; /* × words */
	float *scores;		/* × num_items */
	int64_t *above;		/* of a user: × num_items */
};

FmCurves *
fm_curves_create(const float *rows, int32_t num_items, int dim, const float *standing,
				 const FmHost *host)
{
	FmCurves *curves = host->alloc(host->ctx, 1, sizeof(FmCurves));
	size_t users = fm_score_block(num_items);

	*curves = (FmCurves){.host = host,
						 .rows = rows,
						 .standing = standing,
						 .num_items = num_items,
						 .dim = dim,
						 .capacity = (int) users};
	curves->users = host->alloc(host->ctx, users, sizeof(Waiting));
	curves->queries = host->alloc(host->ctx, users * dim, sizeof(float));
	curves->excluded = host->alloc(host->ctx, users * fm_bitset_words(num_items), sizeof(uint64_t));
	curves->scores = host->alloc(host->ctx, users * num_items, sizeof(float));
	curves->above = host->alloc(host->ctx, num_items, sizeof(int64_t));
	return curves;
}

static void
add_curve(FmCurves *curves, const float *scores, int user, FmRankingSums *sums)
{
	const Waiting *waiting = &curves->users[user];
	int64_t others = fm_rank_relevant(scores, curves->num_items,
									  curves->excluded + user * fm_bitset_words(curves->num_items),
									  waiting->relevant, waiting->num_relevant, curves->above);

	if (others > 0)
		fm_add_auc(sums, fm_ranking_auc(curves->above, waiting->num_relevant, others));
}

/* Score all items for the users of the block, and empty it. */
static void
finish_block(FmCurves *curves)
{
	const FmHost *host = curves->host;

	host->check_interrupts(host->ctx);
	fm_score_all(curves->rows, curves->num_items, curves->dim, curves->queries, curves->count,
				 curves->scores);
	for (int u = 0; u < curves->count; u++)
	{
		add_curve(curves, curves->scores + (size_t) u * curves->num_items, u, &curves->lists);
		if (curves->standing != NULL)
			add_curve(curves, curves->standing, u, &curves->baseline);
		host->release(host->ctx, curves->users[u].relevant);
	}
	curves->count = 0;
}

void
fm_curves_add(FmCurves *curves, const float *query, const uint64_t *excluded,
			  const int32_t *relevant, int32_t num_relevant)
{
	const FmHost *host = curves->host;
	size_t words = fm_bitset_words(curves->num_items), dim = curves->dim;
	Waiting *waiting = &curves->users[curves->count];

	waiting->relevant = host->alloc(host->ctx, num_relevant, sizeof(int32_t));
	waiting->num_relevant = num_relevant;
	memcpy(waiting->relevant, relevant, num_relevant * sizeof(int32_t));
	memcpy(curves->queries + curves->count * dim, query, dim * sizeof(float));
	memcpy(curves->excluded + curves->count * words, excluded, words * sizeof(uint64_t));
	if (++curves->count == curves->capacity)
		finish_block(curves);
}

void
fm_curves_finish(FmCurves *curves, FmRankingSums *lists, FmRankingSums *baseline)
{
	const FmHost *host = curves->host;
	void *arrays[] = {curves->users,  curves->queries, curves->excluded,
					  curves->scores, curves->above,   curves};

	if (curves->count > 0)
		finish_block(curves);
	lists->auc_users = curves->lists.auc_users;
	lists->auc = curves->lists.auc;
	baseline->auc_users = curves->baseline.auc_users;
	baseline->auc = curves->baseline.auc;
	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
		host->release(host->ctx, arrays[i]);
}

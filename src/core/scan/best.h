/*
 * The best of many items, offered one at a time: a heap in an array of hits, with the worst on top.
 *
 * The best has the highest score, and of equal scores the lowest item.
 */
#ifndef FMTOPX_CORE_BEST_H
#define FMTOPX_CORE_BEST_H

#include <stdbool.h>
#include <stdint.h>

typedef struct FmHit
{
	int32_t item; /* index */
	double score;
} FmHit;

typedef struct FmBest
{
	FmHit *hits; /* room for `wanted` */
	int32_t count;
	int32_t wanted; /* at least 1 to offer anything */
} FmBest;

static inline bool
fm_ranks_before(FmHit a, FmHit b)
{
	return a.score > b.score || (a.score == b.score && a.item < b.item);
}

/* Replace the top of a heap of `count` by `hit`. */
static inline void
fm_best_replace_top(FmHit *hits, int32_t count, FmHit hit)
{
	int32_t hole = 0;

	/* 2 × hole + 1 < count, written so that it cannot overflow */
	while (hole < count / 2)
	{
		int32_t child = 2 * hole + 1;

		if (child + 1 < count && fm_ranks_before(hits[child], hits[child + 1]))
			child++;
		if (!fm_ranks_before(hit, hits[child]))
			break;
		hits[hole] = hits[child];
		hole = child;
	}
	hits[hole] = hit;
}

static inline void
fm_best_insert(FmHit *hits, int32_t count, FmHit hit)
{
	int32_t hole = count;

	while (hole > 0 && fm_ranks_before(hits[(hole - 1) / 2], hit))
	{
		hits[hole] = hits[(hole - 1) / 2];
		hole = (hole - 1) / 2;
	}
	hits[hole] = hit;
}

static inline void
fm_best_offer(FmBest *best, int32_t item, double score)
{
	FmHit hit = {item, score};

	if (best->count < best->wanted)
		fm_best_insert(best->hits, best->count++, hit);
	else if (fm_ranks_before(hit, best->hits[0]))
		fm_best_replace_top(best->hits, best->count, hit);
}

/* Turn the heap into a list, best first. */
static inline int32_t
fm_best_finish(FmBest *best)
{
	for (int32_t last = best->count - 1; last > 0; last--)
	{
		FmHit worst = best->hits[0];

		fm_best_replace_top(best->hits, last, best->hits[last]);
		best->hits[last] = worst;
	}
	return best->count;
}

#endif

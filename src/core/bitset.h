/*
 * Sets of small numbers, one bit for each: member i is bit i % 64 of word i / 64.
 *
 * The memory is the caller's: fm_bitset_words() words, zeroed for an empty set.
 */
#ifndef FMTOPX_CORE_BITSET_H
#define FMTOPX_CORE_BITSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Return the number of words of a set of numbers below `count`; at least 1. */
static inline size_t
fm_bitset_words(size_t count)
{
	return count / 64 + 1;
}

static inline bool
fm_bitset_has(const uint64_t *set, int32_t member)
{
	return (set[(uint32_t) member / 64] >> ((uint32_t) member % 64)) & 1;
}

static inline void
fm_bitset_add(uint64_t *set, int32_t member)
{
	set[(uint32_t) member / 64] |= UINT64_C(1) << ((uint32_t) member % 64);
}

static inline void
fm_bitset_remove(uint64_t *set, int32_t member)
{
	set[(uint32_t) member / 64] &= ~(UINT64_C(1) << ((uint32_t) member % 64));
}

static inline void
fm_bitset_add_all(uint64_t *set, const int32_t *members, int32_t count)
{
	for (int32_t i = 0; i < count; i++)
		fm_bitset_add(set, members[i]);
}

#endif

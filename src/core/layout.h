/*
 * Laying out arrays in one block of memory, each aligned to a cache line.
 *
 * Start with an FmLayout of zeros, and add every array; each addition returns the offset where the
 * array begins. Then allocate `bytes` bytes, aligned to FM_ALIGNMENT.
 */
#ifndef FMTOPX_CORE_LAYOUT_H
#define FMTOPX_CORE_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FM_CACHE_LINE 64

/* Also the width of the widest vector register. */
#define FM_ALIGNMENT FM_CACHE_LINE

/* Return a size rounded up to a multiple of the alignment. */
static inline size_t
fm_align(size_t bytes)
{
	return (bytes + FM_ALIGNMENT - 1) & ~(size_t) (FM_ALIGNMENT - 1);
}

/* Return the first aligned address at or after a pointer: at most FM_ALIGNMENT - 1 bytes on. */
static inline void *
fm_align_pointer(void *pointer)
{
	return (void *) fm_align((uintptr_t) pointer);
}

typedef struct FmLayout
{
	size_t bytes;	/* so far, a multiple of the alignment */
	bool overflows; /* more than a size_t holds: `bytes` and the offsets mean nothing */
} FmLayout;

/* Add an array of count × size bytes; return its offset. */
static inline size_t
fm_layout_add(FmLayout *layout, size_t count, size_t size)
{
	size_t offset = layout->bytes;
	size_t array;

	if (__builtin_mul_overflow(count, size, &array) ||
		__builtin_add_overflow(offset, array, &layout->bytes) ||
		__builtin_add_overflow(layout->bytes, (size_t) FM_ALIGNMENT - 1, &layout->bytes))
		layout->overflows = true;
	layout->bytes &= ~(size_t) (FM_ALIGNMENT - 1);
	return offset;
}

#endif

/*
 * Layouts of arrays in one block of memory, and bitsets. Prints TAP.
 */
#include <stdint.h>

#include "core/bitset.h"
#include "core/layout.h"
#include "support/tap.h"

#define MEMBERS 200

static void
test_layout(void)
{
	FmLayout layout = {0};
	size_t first = fm_layout_add(&layout, 3, 4);
	size_t empty = fm_layout_add(&layout, 0, 8);
	size_t whole = fm_layout_add(&layout, 1, FM_ALIGNMENT);
	size_t last = fm_layout_add(&layout, 1, FM_ALIGNMENT + 1);

	ok(first == 0 && empty == FM_ALIGNMENT && whole == FM_ALIGNMENT && last == 2 * FM_ALIGNMENT,
	   "arrays begin at multiples of the alignment, and do not overlap");
	ok(layout.bytes == 4 * FM_ALIGNMENT && !layout.overflows, "all of them have room");
}

static void
test_overflow(void)
{
	static const size_t sizes[][2] = {{SIZE_MAX, 2}, {SIZE_MAX, 1}, {SIZE_MAX - FM_ALIGNMENT, 1}};
	bool overflows = true;

	for (int i = 0; i < 3; i++)
	{
		FmLayout layout = {0};

		(void) fm_layout_add(&layout, 1, FM_ALIGNMENT);
		(void) fm_layout_add(&layout, sizes[i][0], sizes[i][1]);
		(void) fm_layout_add(&layout, 1, 1);
		overflows = overflows && layout.overflows;
	}
	ok(overflows, "a layout that no size_t holds says so, also after further arrays");
}

static void
test_align_pointer(void)
{
	char memory[3 * FM_ALIGNMENT];
	bool aligned = true;

	for (int i = 0; i < FM_ALIGNMENT; i++)
	{
		char *pointer = fm_align_pointer(memory + i);

		aligned = aligned && (uintptr_t) pointer % FM_ALIGNMENT == 0 && pointer >= memory + i &&
				  pointer < memory + i + FM_ALIGNMENT;
	}
	ok(aligned, "a pointer is aligned upwards, by less than the alignment");
}

static void
test_bitset(void)
{
	static const int32_t members[] = {0, 63, 64, 127, 199};
	uint64_t set[MEMBERS / 64 + 1] = {0};
	bool right = fm_bitset_words(MEMBERS) * sizeof(uint64_t) == sizeof(set);
	int count = 0;

	fm_bitset_add_all(set, members, 5);
	for (int i = 0; i < 5; i++)
		right = right && fm_bitset_has(set, members[i]);
	for (int32_t i = 0; i < MEMBERS; i++)
		count += fm_bitset_has(set, i);
	ok(right && count == 5, "a set has the members that were added, and no others");
	fm_bitset_remove(set, 64);
	fm_bitset_remove(set, 1);
	ok(!fm_bitset_has(set, 64) && fm_bitset_has(set, 63) && fm_bitset_has(set, 0) &&
		   !fm_bitset_has(set, 1),
	   "removing a member leaves the others");
}

int
main(void)
{
	test_layout();
	test_overflow();
	test_align_pointer();
	test_bitset();
	return done_testing();
}

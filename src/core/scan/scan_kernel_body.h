/*
 * The body of a scan kernel, included once for each instruction set, by scan_kernels_x86.c,
 * scan_kernels_arm.c and scan_kernels_c.c, with
 *
 *   KERNEL(name)    the name of a function or type in this kernel
 *   KERNEL_TARGET   the function attribute that enables the instructions
 *   KERNEL_WIDTH    queries at once: as many as there are registers for their sums
 *
 * and, before it, a type and functions for the sums of the 16 lanes of a block:
 *
 *   Sum                                                16 integers
 *   start(value)                                       the sum of no products, plus *value
 *   add(sum, codes, first, second)                     8 products more in each lane, of two groups;
 *                                                      *first and *second hold 4 codes of the query
 *   both(sum, other)                                   bitwise and: a lane below 0 where both are
 *   is_negative(sum)                                   whether all lanes are below 0
 *   survivors(sum, cut, scale, weight, biases, error, threshold, upper)
 *                                                      upper = ((sum + cut)·scale + weight·biases)
 *                                                      + error; the lanes where it is not less than
 *                                                      threshold, as NaN never is
 *
 * Nearly all blocks have no item that any of the queries wants, and are finished in integers: each
 * sum starts below zero by what the products must reach (fm_screen_needed), and one test of the
 * signs says whether any sum got there. Only then the lanes are compared one by one, in floats.
 */

/*
 * Compute where the sums of one query start in the blocks of a tile. One step per loop, and no
 * inlining, because this is how compilers make vectors of it.
 */
KERNEL_TARGET static __attribute__((noinline)) void
KERNEL(find_starts)(int32_t offset, double needed, const double *per_scale, int32_t *starts)
{
	double cuts[FM_SCAN_TILE_BLOCKS];

	for (int b = 0; b < FM_SCAN_TILE_BLOCKS; b++)
		cuts[b] = needed * per_scale[b] - 2;
	for (int b = 0; b < FM_SCAN_TILE_BLOCKS; b++) /* NaN becomes the lower limit */
		cuts[b] = cuts[b] > -FM_SCREEN_CUT_MAX ? cuts[b] : -FM_SCREEN_CUT_MAX;
	for (int b = 0; b < FM_SCAN_TILE_BLOCKS; b++)
		cuts[b] = cuts[b] < FM_SCREEN_CUT_MAX ? cuts[b] : FM_SCREEN_CUT_MAX;
	for (int b = 0; b < FM_SCAN_TILE_BLOCKS; b++)
		starts[b] = offset - (int32_t) cuts[b];
}

KERNEL_TARGET static inline __attribute__((always_inline)) uint32_t
KERNEL(screen_blocks)(const FmScreen *screen, int32_t from, int32_t to, FmSurvivors *survivors,
					  const int width)
{
	const int num_groups = screen->num_groups;
	const double *per_scale = screen->per_scale + from / FM_SCAN_TILE_BLOCKS * FM_SCAN_TILE_BLOCKS;
	int32_t starts[KERNEL_WIDTH][FM_SCAN_TILE_BLOCKS];
	uint32_t blocks = 0;

	for (int q = 0; q < width; q++)
		KERNEL(find_starts)(screen->offset[q], screen->needed[q], per_scale, starts[q]);
	for (int32_t block = from; block < to; block++, survivors++)
	{
		const int b = block % FM_SCAN_TILE_BLOCKS;
		const uint8_t *codes = screen->codes + (size_t) block * num_groups * FM_SCAN_GROUP_BYTES;
		const float *biases = screen->biases + (size_t) block * FM_SCAN_LANES;
		const int32_t *groups = screen->groups;
		KERNEL(Sum) sums[KERNEL_WIDTH];
		KERNEL(Sum) all;
		uint32_t any = 0;

		for (int q = 0; q < width; q++)
			sums[q] = KERNEL(start)(&starts[q][b]);
		for (int g = 0; g < num_groups; g += 2)
		{
			for (int q = 0; q < width; q++)
				sums[q] = KERNEL(add)(sums[q], codes, &groups[q], &groups[q + width]);
			codes += 2 * FM_SCAN_GROUP_BYTES;
			groups += 2 * width;
		}
		all = sums[0];
		for (int q = 1; q < width; q++)
			all = KERNEL(both)(all, sums[q]);
		if (KERNEL(is_negative)(all))
			continue;
		for (int q = 0; q < width; q++)
		{
			const int32_t cut = screen->offset[q] - starts[q][b];
			const float scale = screen->unit[q] * screen->scales[block];

			survivors->lanes[q] = KERNEL(survivors)(sums[q], cut, scale, screen->bias_weight[q],
													biases, screen->error[q], screen->threshold[q],
													survivors->upper[q]);
			any |= survivors->lanes[q];
		}
		blocks |= (uint32_t) (any != 0) << (block - from);
	}
	return blocks;
}

KERNEL_TARGET static uint32_t
KERNEL(screen_one)(const FmScreen *screen, int32_t from, int32_t to, FmSurvivors *survivors)
{
	return KERNEL(screen_blocks)(screen, from, to, survivors, 1);
}

KERNEL_TARGET static uint32_t
KERNEL(screen_many)(const FmScreen *screen, int32_t from, int32_t to, FmSurvivors *survivors)
{
	return KERNEL(screen_blocks)(screen, from, to, survivors, KERNEL_WIDTH);
}

#undef KERNEL
#undef KERNEL_TARGET
#undef KERNEL_WIDTH

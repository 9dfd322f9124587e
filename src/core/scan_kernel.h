/*
 * The body of a scan kernel, included by scan_kernels.c once for every instruction set with
 *
 *   KERNEL(name)    the name of a function or type in this kernel
 *   KERNEL_TARGET   the function attribute that switches the instructions on
 *   KERNEL_WIDTH    queries at once: as many as there are registers for their sums
 *
 * and, before it, a type and three functions for the sums of the 16 lanes of a block:
 *
 *   Sum                                                16 integers
 *   start(offset)                                      the sum of no products; offset is the query's
 *   add(sum, codes, group)                             4 products more in each lane
 *   survivors(sum, scale, weight, biases, error, threshold)
 *                                                      lanes with not (sum·scale + weight·biases)
 *                                                      + error < threshold, where NaN is not less
 */
KERNEL_TARGET static inline __attribute__((always_inline)) int32_t
KERNEL(screen_blocks)(const FmScreen *screen, int32_t from, int32_t to, uint32_t *survivors,
					  const int width)
{
	const int num_groups = screen->num_groups;

	for (int32_t block = from; block < to; block++)
	{
		const uint8_t *codes = screen->codes + (size_t) block * num_groups * FM_SCAN_GROUP_BYTES;
		const int32_t *groups = screen->groups;
		const float *biases = screen->biases + (size_t) block * FM_SCAN_LANES;
		KERNEL(Sum) sums[KERNEL_WIDTH];
		uint32_t any = 0;

		for (int q = 0; q < width; q++)
			sums[q] = KERNEL(start)(screen->offset[q]);
		for (int g = 0; g < num_groups; g++, codes += FM_SCAN_GROUP_BYTES, groups += width)
			for (int q = 0; q < width; q++)
				sums[q] = KERNEL(add)(sums[q], codes, groups[q]);
		for (int q = 0; q < width; q++)
			any |= survivors[q] = KERNEL(
				survivors)(sums[q], screen->unit[q] * screen->scales[block], screen->bias_weight[q],
						   biases, screen->error[q], screen->threshold[q]);
		if (any != 0)
			return block;
	}
	return to;
}

KERNEL_TARGET static int32_t
KERNEL(screen_one)(const FmScreen *screen, int32_t from, int32_t to, uint32_t *survivors)
{
	return KERNEL(screen_blocks)(screen, from, to, survivors, 1);
}

KERNEL_TARGET static int32_t
KERNEL(screen_many)(const FmScreen *screen, int32_t from, int32_t to, uint32_t *survivors)
{
	return KERNEL(screen_blocks)(screen, from, to, survivors, KERNEL_WIDTH);
}

#undef KERNEL
#undef KERNEL_TARGET
#undef KERNEL_WIDTH

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
 *   add(sum, codes, first, second)                     8 products more in each lane, of two groups;
 *                                                      *first and *second hold 4 codes of the query
 *   survivors(sum, scale, weight, biases, error, threshold, upper)
 *                                                      upper = (sum·scale + weight·biases) + error;
 *                                                      the lanes where it is not less than threshold,
 *                                                      as NaN never is
 */
KERNEL_TARGET static inline __attribute__((always_inline)) uint32_t
KERNEL(screen_blocks)(const FmScreen *screen, int32_t from, int32_t to, FmSurvivors *survivors,
					  const int width)
{
	const int num_groups = screen->num_groups;
	uint32_t blocks = 0;

	for (int32_t block = from; block < to; block++, survivors++)
	{
		const uint8_t *codes = screen->codes + (size_t) block * num_groups * FM_SCAN_GROUP_BYTES;
		const int32_t *groups = screen->groups;
		const float *biases = screen->biases + (size_t) block * FM_SCAN_LANES;
		KERNEL(Sum) sums[KERNEL_WIDTH];
		uint32_t any = 0;

		for (int q = 0; q < width; q++)
			sums[q] = KERNEL(start)(screen->offset[q]);
		for (int g = 0; g < num_groups; g += 2)
		{
			for (int q = 0; q < width; q++)
				sums[q] = KERNEL(add)(sums[q], codes, &groups[q], &groups[q + width]);
			codes += 2 * FM_SCAN_GROUP_BYTES;
			groups += 2 * width;
		}
		for (int q = 0; q < width; q++)
			any |= survivors->lanes[q] = KERNEL(
				survivors)(sums[q], screen->unit[q] * screen->scales[block], screen->bias_weight[q],
						   biases, screen->error[q], screen->threshold[q], survivors->upper[q]);
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

/*
 * The scan kernel for any CPU. Nothing is owned or allocated.
 */
#include "core/scan/scan_kernels_c.h"

#include <string.h>

void
fm_scan_score_rows(const float *const *rows, const float *query, int length, double *scores)
{
	double sums[FM_SCORES_AT_ONCE] = {0};

	for (int f = 0; f < length; f++)
		for (int i = 0; i < FM_SCORES_AT_ONCE; i++)
			sums[i] += (double) query[f] * (double) rows[i][f];
	memcpy(scores, sums, sizeof(sums));
}

/*
 * Plain C, in the vector extensions that gcc and clang share. The odd and the even codes of four
 * items are multiplied in 16 bits (255 · 127 is below 2^15), and pairs of products are added in 32
 * bits. It does not matter which of two bytes is the low one, as it is the same for items and
 * queries.
 */
typedef uint16_t c_Pairs __attribute__((vector_size(16), may_alias));
typedef int16_t c_SignedPairs __attribute__((vector_size(16)));
typedef uint32_t c_Bits __attribute__((vector_size(16)));
typedef int32_t c_Lanes __attribute__((vector_size(16)));

typedef struct c_Sum
{
	c_Lanes quarter[4];
} c_Sum;

static inline c_Sum
c_start(const int32_t *value)
{
	const c_Lanes start = {*value, *value, *value, *value};

	return (c_Sum){{start, start, start, start}};
}

static inline c_Sum
c_both(c_Sum sum, c_Sum other)
{
	for (int i = 0; i < 4; i++)
		sum.quarter[i] &= other.quarter[i];
	return sum;
}

static inline bool
c_is_negative(c_Sum sum)
{
	c_Lanes all = sum.quarter[0] & sum.quarter[1] & sum.quarter[2] & sum.quarter[3];

	return (all[0] & all[1] & all[2] & all[3]) < 0;
}

static inline c_Lanes
c_add_pairs(c_Pairs codes, c_SignedPairs query)
{
	c_SignedPairs products = (c_SignedPairs) codes * query;

	return ((c_Lanes) ((c_Bits) products << 16) >> 16) + ((c_Lanes) products >> 16);
}

static inline c_Sum
c_add_group(c_Sum sum, const uint8_t *codes, const int32_t *group)
{
	const c_Lanes query = {*group, *group, *group, *group};
	const c_SignedPairs low = (c_SignedPairs) ((c_Pairs) query << 8) >> 8;
	const c_SignedPairs high = (c_SignedPairs) query >> 8;

	for (int i = 0; i < 4; i++)
	{
		c_Pairs items = *(const c_Pairs *) (codes + 16 * i);

		sum.quarter[i] += c_add_pairs(items & 255, low) + c_add_pairs(items >> 8, high);
	}
	return sum;
}

static inline c_Sum
c_add(c_Sum sum, const uint8_t *codes, const int32_t *first, const int32_t *second)
{
	return c_add_group(c_add_group(sum, codes, first), codes + FM_SCAN_GROUP_BYTES, second);
}

static inline uint32_t
c_survivors(c_Sum sum, int32_t cut, float scale, float weight, const float *biases, float error,
			float threshold, float *upper)
{
	uint32_t mask = 0;

	for (int lane = 0; lane < FM_SCAN_LANES; lane++)
	{
		float products = (float) (sum.quarter[lane / 4][lane % 4] + cut);
		float score = products * scale + weight * biases[lane];

		upper[lane] = score + error;
		mask |= (uint32_t) !(upper[lane] < threshold) << lane;
	}
	return mask;
}

#define KERNEL(name) c_##name
#define KERNEL_TARGET
#define KERNEL_WIDTH 2
#include "core/scan/scan_kernel_body.h"

static bool
cpu_has_c(void)
{
	return true;
}

#define c_score_rows fm_scan_score_rows

FM_SCAN_KERNEL(c, 0, FM_SCAN_CODE_ZERO, 2);

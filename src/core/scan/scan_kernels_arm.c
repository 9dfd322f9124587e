/*
 * The scan kernels for AArch64: NEON, and NEON with dot products.
 *
 * The latter is compiled for its instruction by a function attribute, and is called only after the
 * CPU said that it can run it. Nothing is owned or allocated.
 */
#include "core/scan/scan_kernels_arm.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

#include "core/scan/scan_kernels_c.h"

typedef struct neon_Sum
{
	int32x4_t quarter[4];
} neon_Sum;

static inline neon_Sum
neon_start(const int32_t *value)
{
	const int32x4_t start = vdupq_n_s32(*value);

	return (neon_Sum){{start, start, start, start}};
}

static inline neon_Sum
neon_both(neon_Sum sum, neon_Sum other)
{
	for (int i = 0; i < 4; i++)
		sum.quarter[i] = vandq_s32(sum.quarter[i], other.quarter[i]);
	return sum;
}

static inline bool
neon_is_negative(neon_Sum sum)
{
	return vmaxvq_s32(vandq_s32(vandq_s32(sum.quarter[0], sum.quarter[1]),
								vandq_s32(sum.quarter[2], sum.quarter[3]))) < 0;
}

/* Load four codes of four items, made signed. */
static inline int8x16_t
neon_signed_codes(const uint8_t *codes)
{
	return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(codes), vdupq_n_u8(FM_SCAN_CODE_ZERO)));
}

static inline neon_Sum
neon_add_group(neon_Sum sum, const uint8_t *codes, const int32_t *group)
{
	const int8x16_t query = vreinterpretq_s8_s32(vdupq_n_s32(*group));

	for (int i = 0; i < 4; i++)
	{
		int8x16_t items = neon_signed_codes(codes + 16 * i);
		int16x8_t low = vmull_s8(vget_low_s8(items), vget_low_s8(query));
		int16x8_t high = vmull_high_s8(items, query);

		sum.quarter[i] = vaddq_s32(sum.quarter[i], vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
	}
	return sum;
}

static inline neon_Sum
neon_add(neon_Sum sum, const uint8_t *codes, const int32_t *first, const int32_t *second)
{
	return neon_add_group(neon_add_group(sum, codes, first), codes + FM_SCAN_GROUP_BYTES, second);
}

static inline uint32_t
neon_survivors(neon_Sum sum, int32_t cut, float scale, float weight, const float *biases,
			   float error, float threshold, float *upper)
{
	static const uint32_t lane_bit[4] = {1, 2, 4, 8};
	uint32_t mask = 0;

	for (int i = 0; i < 4; i++)
	{
		float32x4_t bias = vmulq_n_f32(vld1q_f32(biases + 4 * i), weight);
		int32x4_t products = vaddq_s32(sum.quarter[i], vdupq_n_s32(cut));
		float32x4_t score = vfmaq_n_f32(bias, vcvtq_f32_s32(products), scale);
		uint32x4_t out;

		score = vaddq_f32(score, vdupq_n_f32(error));
		vst1q_f32(upper + 4 * i, score);
		out = vcltq_f32(score, vdupq_n_f32(threshold));
		mask |= vaddvq_u32(vbicq_u32(vld1q_u32(lane_bit), out)) << (4 * i);
	}
	return mask;
}

#define neon_score_rows fm_scan_score_rows

#define KERNEL(name) neon_##name
#define KERNEL_TARGET
#define KERNEL_WIDTH 4
#include "core/scan/scan_kernel_body.h"

static bool
cpu_has_neon(void)
{
	return true;
}

FM_SCAN_KERNEL(neon, 0, 0, 4);

#ifdef FM_SCAN_HAVE_NEONDOT

#define NEONDOT_TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#define neondot_Sum neon_Sum
#define neondot_start neon_start
#define neondot_both neon_both
#define neondot_is_negative neon_is_negative
#define neondot_survivors neon_survivors
#define neondot_score_rows fm_scan_score_rows

NEONDOT_TARGET static inline neon_Sum
neondot_add_group(neon_Sum sum, const uint8_t *codes, const int32_t *group)
{
	const int8x16_t query = vreinterpretq_s8_s32(vdupq_n_s32(*group));

	for (int i = 0; i < 4; i++)
		sum.quarter[i] = vdotq_s32(sum.quarter[i], neon_signed_codes(codes + 16 * i), query);
	return sum;
}

NEONDOT_TARGET static inline neon_Sum
neondot_add(neon_Sum sum, const uint8_t *codes, const int32_t *first, const int32_t *second)
{
	return neondot_add_group(neondot_add_group(sum, codes, first), codes + FM_SCAN_GROUP_BYTES,
							 second);
}

#define KERNEL(name) neondot_##name
#define KERNEL_TARGET NEONDOT_TARGET
#define KERNEL_WIDTH 4
#include "core/scan/scan_kernel_body.h"

static bool
cpu_has_neondot(void)
{
	return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}

FM_SCAN_KERNEL(neondot, 0, 0, 4);

#endif

#endif

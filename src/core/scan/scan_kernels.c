/*
 * The scan kernels for every instruction set, and the choice among them.
 *
 * Owns the process-wide choice of kernel and nothing else; allocates nothing. Each kernel is
 * compiled for its own instruction set by a function attribute, so the build needs no machine
 * flags, and is only called after the CPU said it can run it. What the results mean, and what their
 * rounding may be, is in scan_screen.c.
 *
 * Items' codes are bytes from 0 to 255, a query's are signed. Instruction sets differ in how they
 * multiply these: see four_max.
 *
 * Exact scores come from here too, of several rows side by side. The product of two floats is exact in a
 * double, so whether an instruction set fuses it with the addition makes no difference, and each row's sum
 * has the one order.
 */
#include "core/scan/scan_kernels.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

/*
 * For the x86 instruction that adds two products of bytes in 16 bits: 255 · 128 is below 2^15. So
 * two such results may be added before they are widened, which is what makes these kernels fast.
 */
#define SUM_OF_FOUR_MAX 128

static bool
cpu_has_all(void)
{
	return true;
}

static void
any_score_rows(const float *const *rows, const float *query, int length, double *scores)
{
	double sums[FM_SCORES_AT_ONCE] = {0};

	for (int f = 0; f < length; f++)
		for (int i = 0; i < FM_SCORES_AT_ONCE; i++)
			sums[i] += (double) query[f] * (double) rows[i][f];
	memcpy(scores, sums, sizeof(sums));
}

#if defined(__x86_64__)

/* Eight floats of each of eight rows, turned: in[f] then holds the f-th of every row. */
__attribute__((target("avx2"), always_inline)) static inline void
load_turned(const float *const *rows, int from, __m256 in[8])
{
	__m256 twos[8];
	__m256 fours[8];

	for (int i = 0; i < 8; i += 2)
	{
		__m256 even = _mm256_loadu_ps(rows[i] + from);
		__m256 odd = _mm256_loadu_ps(rows[i + 1] + from);

		twos[i] = _mm256_unpacklo_ps(even, odd);
		twos[i + 1] = _mm256_unpackhi_ps(even, odd);
	}
	for (int i = 0; i < 8; i += 4)
		for (int half = 0; half < 2; half++)
		{
			fours[i + 2 * half] = _mm256_shuffle_ps(twos[i + half], twos[i + half + 2], 0x44);
			fours[i + 2 * half + 1] = _mm256_shuffle_ps(twos[i + half], twos[i + half + 2], 0xee);
		}
	for (int f = 0; f < 4; f++)
	{
		in[f] = _mm256_permute2f128_ps(fours[f], fours[f + 4], 0x20);
		in[f + 4] = _mm256_permute2f128_ps(fours[f], fours[f + 4], 0x31);
	}
}

/* One float of each of eight rows. */
__attribute__((target("avx2"), always_inline)) static inline __m256
load_one(const float *const *rows, int f)
{
	return _mm256_setr_ps(rows[0][f], rows[1][f], rows[2][f], rows[3][f], rows[4][f], rows[5][f],
						  rows[6][f], rows[7][f]);
}

/* What both AVX-512 kernels share. */

__attribute__((target("avx512f"))) static void
avx512_score_rows(const float *const *rows, const float *query, int length, double *scores)
{
	__m512d sums = _mm512_setzero_pd();
	int f = 0;

	for (; f + 8 <= length; f += 8)
	{
		__m256 in[8];

		load_turned(rows, f, in);
		for (int i = 0; i < 8; i++)
			sums = _mm512_fmadd_pd(_mm512_cvtps_pd(in[i]), _mm512_set1_pd(query[f + i]), sums);
	}
	for (; f < length; f++)
		sums = _mm512_fmadd_pd(_mm512_cvtps_pd(load_one(rows, f)), _mm512_set1_pd(query[f]), sums);
	_mm512_storeu_pd(scores, sums);
}

__attribute__((target("avx512f"))) static inline __m512i
avx512_start(const int32_t *value)
{
	__m512i sum;

	/* not _mm512_set1_epi32, which gcc (12) would have take the way of a general register */
	__asm__("vpbroadcastd %1, %0" : "=v"(sum) : "m"(*value));
	return sum;
}

__attribute__((target("avx512f"))) static inline __m512i
avx512_both(__m512i sum, __m512i other)
{
	return _mm512_and_si512(sum, other);
}

__attribute__((target("avx512f"))) static inline bool
avx512_is_negative(__m512i sum)
{
	return _mm512_cmplt_epi32_mask(sum, _mm512_setzero_si512()) == 0xffff;
}

__attribute__((target("avx512f"))) static inline uint32_t
avx512_survivors(__m512i sum, int32_t cut, float scale, float weight, const float *biases,
				 float error, float threshold, float *upper)
{
	__m512 bias = _mm512_mul_ps(_mm512_set1_ps(weight), _mm512_load_ps(biases));
	__m512 products = _mm512_cvtepi32_ps(_mm512_add_epi32(sum, _mm512_set1_epi32(cut)));
	__m512 score = _mm512_fmadd_ps(products, _mm512_set1_ps(scale), bias);

	score = _mm512_add_ps(score, _mm512_set1_ps(error));
	_mm512_store_ps(upper, score);
	return _mm512_cmp_ps_mask(score, _mm512_set1_ps(threshold), _CMP_NLT_UQ);
}

#define AVX512VNNI_TARGET __attribute__((target("avx512f,avx512vnni")))

typedef __m512i avx512vnni_Sum;

/*
 * Not _mm512_dpbusd_epi32, because gcc (12) would copy each sum before and after it, and load each
 * group into a register of its own: with eight queries half the speed.
 */
AVX512VNNI_TARGET static inline __m512i
avx512vnni_add(__m512i sum, const uint8_t *codes, const int32_t *first, const int32_t *second)
{
	__m512i one = _mm512_load_si512(codes);
	__m512i two = _mm512_load_si512(codes + FM_SCAN_GROUP_BYTES);

	__asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(one), "m"(*first));
	__asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(two), "m"(*second));
	return sum;
}

#define avx512vnni_start avx512_start
#define avx512vnni_both avx512_both
#define avx512vnni_is_negative avx512_is_negative
#define avx512vnni_survivors avx512_survivors
#define avx512vnni_score_rows avx512_score_rows

#define KERNEL(name) avx512vnni_##name
#define KERNEL_TARGET AVX512VNNI_TARGET
#define KERNEL_WIDTH 8
#include "core/scan/scan_kernel.h"

static bool
cpu_has_avx512vnni(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni");
}

#define AVX512_TARGET __attribute__((target("avx512f,avx512bw")))

typedef __m512i avx512_Sum;

AVX512_TARGET static inline __m512i
avx512_add(__m512i sum, const uint8_t *codes, const int32_t *first, const int32_t *second)
{
	__m512i one = _mm512_load_si512(codes);
	__m512i two = _mm512_load_si512(codes + FM_SCAN_GROUP_BYTES);
	__m512i fours = _mm512_add_epi16(_mm512_maddubs_epi16(one, _mm512_set1_epi32(*first)),
									 _mm512_maddubs_epi16(two, _mm512_set1_epi32(*second)));

	return _mm512_add_epi32(sum, _mm512_madd_epi16(fours, _mm512_set1_epi16(1)));
}

#define KERNEL(name) avx512_##name
#define KERNEL_TARGET AVX512_TARGET
#define KERNEL_WIDTH 8
#include "core/scan/scan_kernel.h"

static bool
cpu_has_avx512(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

#define AVX2_TARGET __attribute__((target("avx2,fma")))

typedef struct avx2_Sum
{
	__m256i half[2];
} avx2_Sum;

AVX2_TARGET static inline avx2_Sum
avx2_start(const int32_t *value)
{
	return (avx2_Sum){{_mm256_set1_epi32(*value), _mm256_set1_epi32(*value)}};
}

AVX2_TARGET static inline avx2_Sum
avx2_both(avx2_Sum sum, avx2_Sum other)
{
	return (avx2_Sum){{_mm256_and_si256(sum.half[0], other.half[0]),
					   _mm256_and_si256(sum.half[1], other.half[1])}};
}

AVX2_TARGET static inline bool
avx2_is_negative(avx2_Sum sum)
{
	__m256i all = _mm256_and_si256(sum.half[0], sum.half[1]);

	return _mm256_movemask_ps(_mm256_castsi256_ps(all)) == 0xff;
}

AVX2_TARGET static inline avx2_Sum
avx2_add(avx2_Sum sum, const uint8_t *codes, const int32_t *first, const int32_t *second)
{
	const __m256i ones = _mm256_set1_epi16(1);

	for (int h = 0; h < 2; h++)
	{
		const __m256i *half = (const __m256i *) (codes + 32 * h);
		__m256i one = _mm256_load_si256(half);
		__m256i two = _mm256_load_si256(half + 2);
		__m256i fours = _mm256_add_epi16(_mm256_maddubs_epi16(one, _mm256_set1_epi32(*first)),
										 _mm256_maddubs_epi16(two, _mm256_set1_epi32(*second)));

		sum.half[h] = _mm256_add_epi32(sum.half[h], _mm256_madd_epi16(fours, ones));
	}
	return sum;
}

AVX2_TARGET static inline uint32_t
avx2_survivors(avx2_Sum sum, int32_t cut, float scale, float weight, const float *biases,
			   float error, float threshold, float *upper)
{
	uint32_t mask = 0;

	for (int h = 0; h < 2; h++)
	{
		__m256 bias = _mm256_mul_ps(_mm256_set1_ps(weight), _mm256_load_ps(biases + 8 * h));
		__m256i products = _mm256_add_epi32(sum.half[h], _mm256_set1_epi32(cut));
		__m256 score = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), _mm256_set1_ps(scale), bias);
		__m256 in;

		score = _mm256_add_ps(score, _mm256_set1_ps(error));
		_mm256_store_ps(upper + 8 * h, score);
		in = _mm256_cmp_ps(score, _mm256_set1_ps(threshold), _CMP_NLT_UQ);
		mask |= (uint32_t) _mm256_movemask_ps(in) << (8 * h);
	}
	return mask;
}

AVX2_TARGET static inline void
avx2_add_products(__m256 in, float query, __m256d sums[2])
{
	const __m256d factor = _mm256_set1_pd(query);

	sums[0] = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(in)), factor, sums[0]);
	sums[1] = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(in, 1)), factor, sums[1]);
}

AVX2_TARGET static void
avx2_score_rows(const float *const *rows, const float *query, int length, double *scores)
{
	__m256d sums[2] = {_mm256_setzero_pd(), _mm256_setzero_pd()};
	int f = 0;

	for (; f + 8 <= length; f += 8)
	{
		__m256 in[8];

		load_turned(rows, f, in);
		for (int i = 0; i < 8; i++)
			avx2_add_products(in[i], query[f + i], sums);
	}
	for (; f < length; f++)
		avx2_add_products(load_one(rows, f), query[f], sums);
	_mm256_storeu_pd(scores, sums[0]);
	_mm256_storeu_pd(scores + 4, sums[1]);
}

#define KERNEL(name) avx2_##name
#define KERNEL_TARGET AVX2_TARGET
#define KERNEL_WIDTH 4
#include "core/scan/scan_kernel.h"

static bool
cpu_has_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

#elif defined(__aarch64__)

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

/* Four codes of four items, made signed. */
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

#define KERNEL(name) neon_##name
#define KERNEL_TARGET
#define KERNEL_WIDTH 4
#include "core/scan/scan_kernel.h"

/* clang before 16 declares the instruction only where the whole file is compiled for it. */
#if defined(__linux__) && (!defined(__clang__) || __clang_major__ >= 16)
#define HAVE_NEONDOT

#define NEONDOT_TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#define neondot_Sum neon_Sum
#define neondot_start neon_start
#define neondot_both neon_both
#define neondot_is_negative neon_is_negative
#define neondot_survivors neon_survivors

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
#include "core/scan/scan_kernel.h"

static bool
cpu_has_neondot(void)
{
	return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}

#endif
#endif

/*
 * Plain C, in the vector extensions that gcc and clang share: the odd and the even codes of four
 * items are products of 16 bits (255 · 127 is below 2^15), and pairs of those are added in 32 bits.
 * Which of two bytes is the low one does not matter, as it is the same for items and queries.
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
#include "core/scan/scan_kernel.h"

#define KERNEL_ENTRY(name, four_max, zero, width)                                                  \
	{                                                                                              \
#name, cpu_has_##name, four_max, zero, width, name##_screen_one, name##_screen_many,       \
			name##_score_rows                                                                      \
	}

#define neondot_score_rows any_score_rows
#define neon_score_rows any_score_rows
#define c_score_rows any_score_rows
#define cpu_has_neon cpu_has_all
#define cpu_has_c cpu_has_all

/* Best first. */
static const FmScanKernel kernels[] = {
#if defined(__x86_64__)
	KERNEL_ENTRY(avx512vnni, 0, FM_SCAN_CODE_ZERO, 8),
	KERNEL_ENTRY(avx512, SUM_OF_FOUR_MAX, FM_SCAN_CODE_ZERO, 8),
	KERNEL_ENTRY(avx2, SUM_OF_FOUR_MAX, FM_SCAN_CODE_ZERO, 4),
#elif defined(__aarch64__)
#ifdef HAVE_NEONDOT
	KERNEL_ENTRY(neondot, 0, 0, 4),
#endif
	KERNEL_ENTRY(neon, 0, 0, 4),
#endif
	KERNEL_ENTRY(c, 0, FM_SCAN_CODE_ZERO, 2),
};

#define NUM_KERNELS (sizeof(kernels) / sizeof(kernels[0]))

/* NULL until the first use or choice. */
static const FmScanKernel *kernel_in_use = NULL;

static const FmScanKernel *
best_kernel(void)
{
	const FmScanKernel *kernel = kernels;

	while (!kernel->runs_here())
		kernel++; /* the last one always does */
	return kernel;
}

const FmScanKernel *
fm_scan_kernel(void)
{
	if (kernel_in_use == NULL)
		kernel_in_use = best_kernel();
	return kernel_in_use;
}

const char *const *
fm_scan_kernel_names(void)
{
	static const char *names[NUM_KERNELS + 1];
	size_t count = 0;

	for (size_t i = 0; i < NUM_KERNELS; i++)
		if (kernels[i].runs_here())
			names[count++] = kernels[i].name;
	names[count] = NULL;
	return names;
}

bool
fm_scan_use_kernel(const char *name)
{
	if (strcmp(name, "auto") == 0)
	{
		kernel_in_use = best_kernel();
		return true;
	}
	for (size_t i = 0; i < NUM_KERNELS; i++)
		if (strcmp(name, kernels[i].name) == 0 && kernels[i].runs_here())
		{
			kernel_in_use = &kernels[i];
			return true;
		}
	return false;
}

const char *
fm_scan_kernel_in_use(void)
{
	return fm_scan_kernel()->name;
}

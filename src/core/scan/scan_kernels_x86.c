/*
 * The scan kernels for x86-64: AVX-512 with VNNI, AVX-512, and AVX2.
 *
 * Each kernel is compiled for its instruction set by a function attribute, so the build needs no
 * machine flags. A kernel is called only after the CPU said that it can run it. Nothing is owned or
 * allocated.
 */
#include "core/scan/scan_kernels_x86.h"

#if defined(__x86_64__)

#include <immintrin.h>

/*
 * The limit of sums of four codes for the instruction that adds two products of bytes in 16 bits:
 * 255 · 128 is below 2^15. So two such results may be added before they are widened, which is what
 * makes these kernels fast.
 */
#define SUM_OF_FOUR_MAX 128

/* Load eight floats of each of eight rows, transposed: in[f] then holds the f-th of every row. */
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

/* Load one float of each of eight rows. */
__attribute__((target("avx2"), always_inline)) static inline __m256
load_one(const float *const *rows, int f)
{
	return _mm256_setr_ps(rows[0][f], rows[1][f], rows[2][f], rows[3][f], rows[4][f], rows[5][f],
						  rows[6][f], rows[7][f]);
}

/* For both AVX-512 kernels. */

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

	/* not _mm512_set1_epi32, which gcc (12) would move through a general register */
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
 * group into a register of its own, which halves the speed with eight queries.
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
#include "core/scan/scan_kernel_body.h"

static bool
cpu_has_avx512vnni(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni");
}

FM_SCAN_KERNEL(avx512vnni, 0, FM_SCAN_CODE_ZERO, 8);

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
#include "core/scan/scan_kernel_body.h"

static bool
cpu_has_avx512(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

FM_SCAN_KERNEL(avx512, SUM_OF_FOUR_MAX, FM_SCAN_CODE_ZERO, 8);

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
#include "core/scan/scan_kernel_body.h"

static bool
cpu_has_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

FM_SCAN_KERNEL(avx2, SUM_OF_FOUR_MAX, FM_SCAN_CODE_ZERO, 4);

#endif

/*
 * The float32 screen: its error bound, its SIMD kernels, and the choice among them.
 *
 * Owns the process-wide choice of kernel and nothing else; allocates nothing. Each kernel is
 * compiled for its own instruction set by a function attribute, so the build needs no machine
 * flags, and is only called after the CPU said it can run it.
 *
 * The bound. Let n be the length, u = 2^-24. In whatever order n products are summed, with or
 * without fused multiply-add,
 *
 *     |fl(Σ q_f a_f) − Σ q_f a_f|  ≤  γ_n Σ |q_f a_f|  ≤  γ_n ‖q‖ ‖a‖,    γ_n = n u / (1 − n u)
 *
 * as long as nothing over- or underflows (Higham 2002, section 3.1, with Cauchy-Schwarz). To that
 * come the roundings of the bound itself, of the sum with the bound, and of the double score: a few
 * units u of ‖q‖ ‖a‖, for which n is taken ERROR_SLACK larger and the whole one percent larger (n u
 * < 2^-13).
 *
 * Underflow. Each operation may lose up to the least normal float, and each entry read too: a
 * library in the same process may have switched the CPU to flush denormals to zero. The loss is at
 * most FLT_MIN per operation, FLT_MIN |a_f| or FLT_MIN |q_f| per entry; hence the terms with
 * FLT_MIN below.
 *
 * Overflow. Partial sums stay below (1 + γ_n) ‖q‖ ‖a‖, so items with ‖q‖ ‖a‖ ≤ FLT_MAX / 4 are safe
 * and all others are let through unscreened.
 */
#include "core/scan_kernels.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "core/scan.h"

#if defined(__x86_64__)
#define HAVE_X86_KERNELS
#include <immintrin.h>
#elif defined(__aarch64__)
#define HAVE_NEON_KERNEL
#include <arm_neon.h>
#endif

#define ERROR_SLACK 8
#define LANES FM_SCAN_LANES

/*
 * A value below FLT_MAX is at most half a unit above its nearest float, so the next float up is
 * above it by at least as much: room for the few units of double rounding in the value itself.
 */
float
fm_round_up(double value)
{
	if (value >= FLT_MAX)
		return INFINITY;
	return nextafterf((float) value, INFINITY);
}

static float
round_down(double value)
{
	float nearest;

	if (value >= FLT_MAX)
		return FLT_MAX;
	if (value < -FLT_MAX)
		return -INFINITY;
	nearest = (float) value;
	return nearest > value ? nextafterf(nearest, -INFINITY) : nearest;
}

void
fm_screen_prepare(FmScreen *screen, const float *query, const float *vectors, const float *norms,
				  int length)
{
	double squares = 0;
	double norm;
	double operations = length + ERROR_SLACK;
	double flushed = 4 * operations * FLT_MIN;

	for (int f = 0; f < length; f++)
		squares += (double) query[f] * (double) query[f];
	norm = sqrt(squares);

	screen->query = query;
	screen->vectors = vectors;
	screen->norms = norms;
	screen->length = length;
	screen->norm_factor = fm_round_up(1.01 * operations * (FLT_EPSILON / 2) * norm + flushed);
	screen->absolute = fm_round_up(flushed * (1 + norm));
	/* A query of tiny norm needs no limit but that an item's norm be a number. */
	screen->norm_limit = norm > 0.25 ? round_down(FLT_MAX / 4 / norm) : FLT_MAX;
	screen->threshold = -INFINITY;
}

void
fm_screen_set_threshold(FmScreen *screen, double threshold)
{
	screen->threshold = round_down(threshold);
}

/*
 * Four lanes in whatever registers the compiler finds for them: it would rather vectorize a plain
 * loop over entries than over lanes, which costs a shuffle per load.
 */
typedef float FourLanes __attribute__((vector_size(16), may_alias));

static int32_t
screen_c(const FmScreen *screen, int32_t from, int32_t to, uint32_t *survivors)
{
	const float *q = screen->query;
	const int length = screen->length;

	for (int32_t block = from; block < to; block++)
	{
		const float *norms = screen->norms + (size_t) block * LANES;
		const FourLanes *a = (const FourLanes *) (screen->vectors +
												  (size_t) block * LANES * length);
		FourLanes sum[LANES / 4] = {{0}};
		uint32_t mask = 0;

		for (int f = 0; f < length; f++, a += LANES / 4)
			for (int quarter = 0; quarter < LANES / 4; quarter++)
				sum[quarter] += q[f] * a[quarter];
		for (int lane = 0; lane < LANES; lane++)
		{
			float upper = sum[lane / 4][lane % 4] +
						  (screen->norm_factor * norms[lane] + screen->absolute);
			bool out = upper <= screen->threshold && norms[lane] <= screen->norm_limit;

			mask |= (uint32_t) !out << lane;
		}
		if (mask != 0)
		{
			*survivors = mask;
			return block;
		}
	}
	return to;
}

#ifdef HAVE_X86_KERNELS

/* Four accumulators, because one would wait for the latency of every addition. */
__attribute__((target("avx512f"))) static int32_t
screen_avx512(const FmScreen *screen, int32_t from, int32_t to, uint32_t *survivors)
{
	const float *q = screen->query;
	const int length = screen->length;
	const __m512 factor = _mm512_set1_ps(screen->norm_factor);
	const __m512 absolute = _mm512_set1_ps(screen->absolute);
	const __m512 limit = _mm512_set1_ps(screen->norm_limit);
	const __m512 threshold = _mm512_set1_ps(screen->threshold);

	for (int32_t block = from; block < to; block++)
	{
		const float *a = screen->vectors + (size_t) block * LANES * length;
		__m512 norm = _mm512_load_ps(screen->norms + (size_t) block * LANES);
		__m512 s0 = _mm512_setzero_ps();
		__m512 s1 = _mm512_setzero_ps();
		__m512 s2 = _mm512_setzero_ps();
		__m512 s3 = _mm512_setzero_ps();
		__m512 upper;
		__mmask16 mask;
		int f = 0;

		for (; f + 4 <= length; f += 4, a += 4 * LANES)
		{
			s0 = _mm512_fmadd_ps(_mm512_set1_ps(q[f]), _mm512_load_ps(a), s0);
			s1 = _mm512_fmadd_ps(_mm512_set1_ps(q[f + 1]), _mm512_load_ps(a + LANES), s1);
			s2 = _mm512_fmadd_ps(_mm512_set1_ps(q[f + 2]), _mm512_load_ps(a + 2 * LANES), s2);
			s3 = _mm512_fmadd_ps(_mm512_set1_ps(q[f + 3]), _mm512_load_ps(a + 3 * LANES), s3);
		}
		for (; f < length; f++, a += LANES)
			s0 = _mm512_fmadd_ps(_mm512_set1_ps(q[f]), _mm512_load_ps(a), s0);
		s0 = _mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3));
		upper = _mm512_add_ps(s0, _mm512_fmadd_ps(factor, norm, absolute));
		mask = _mm512_cmp_ps_mask(upper, threshold, _CMP_NLE_UQ) |
			   _mm512_cmp_ps_mask(norm, limit, _CMP_NLE_UQ);
		if (mask != 0)
		{
			*survivors = mask;
			return block;
		}
	}
	return to;
}

__attribute__((target("avx2,fma"))) static int32_t
screen_avx2(const FmScreen *screen, int32_t from, int32_t to, uint32_t *survivors)
{
	const float *q = screen->query;
	const int length = screen->length;
	const __m256 factor = _mm256_set1_ps(screen->norm_factor);
	const __m256 absolute = _mm256_set1_ps(screen->absolute);
	const __m256 limit = _mm256_set1_ps(screen->norm_limit);
	const __m256 threshold = _mm256_set1_ps(screen->threshold);

	for (int32_t block = from; block < to; block++)
	{
		const float *a = screen->vectors + (size_t) block * LANES * length;
		const float *norms = screen->norms + (size_t) block * LANES;
		__m256 even[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
		__m256 odd[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
		uint32_t mask = 0;
		int f = 0;

		for (; f + 2 <= length; f += 2, a += 2 * LANES)
		{
			__m256 q0 = _mm256_broadcast_ss(q + f);
			__m256 q1 = _mm256_broadcast_ss(q + f + 1);

			even[0] = _mm256_fmadd_ps(q0, _mm256_load_ps(a), even[0]);
			even[1] = _mm256_fmadd_ps(q0, _mm256_load_ps(a + 8), even[1]);
			odd[0] = _mm256_fmadd_ps(q1, _mm256_load_ps(a + 16), odd[0]);
			odd[1] = _mm256_fmadd_ps(q1, _mm256_load_ps(a + 24), odd[1]);
		}
		if (f < length)
		{
			__m256 q0 = _mm256_broadcast_ss(q + f);

			even[0] = _mm256_fmadd_ps(q0, _mm256_load_ps(a), even[0]);
			even[1] = _mm256_fmadd_ps(q0, _mm256_load_ps(a + 8), even[1]);
		}
		for (int half = 0; half < 2; half++)
		{
			__m256 norm = _mm256_load_ps(norms + 8 * half);
			__m256 upper = _mm256_add_ps(_mm256_add_ps(even[half], odd[half]),
										 _mm256_fmadd_ps(factor, norm, absolute));
			__m256 in = _mm256_or_ps(_mm256_cmp_ps(upper, threshold, _CMP_NLE_UQ),
									 _mm256_cmp_ps(norm, limit, _CMP_NLE_UQ));

			mask |= (uint32_t) _mm256_movemask_ps(in) << (8 * half);
		}
		if (mask != 0)
		{
			*survivors = mask;
			return block;
		}
	}
	return to;
}

static bool
cpu_has_avx512(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f");
}

static bool
cpu_has_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

#endif

#ifdef HAVE_NEON_KERNEL

/* Which of four lanes are not (upper ≤ threshold and norm ≤ limit), as bits. */
static uint32_t
neon_survivors(float32x4_t upper, float32x4_t threshold, float32x4_t norm, float32x4_t limit)
{
	static const uint32_t lane_bit[4] = {1, 2, 4, 8};
	uint32x4_t out = vandq_u32(vcleq_f32(upper, threshold), vcleq_f32(norm, limit));

	return vaddvq_u32(vbicq_u32(vld1q_u32(lane_bit), out));
}

static int32_t
screen_neon(const FmScreen *screen, int32_t from, int32_t to, uint32_t *survivors)
{
	const float *q = screen->query;
	const int length = screen->length;
	const float32x4_t factor = vdupq_n_f32(screen->norm_factor);
	const float32x4_t absolute = vdupq_n_f32(screen->absolute);
	const float32x4_t limit = vdupq_n_f32(screen->norm_limit);
	const float32x4_t threshold = vdupq_n_f32(screen->threshold);

	for (int32_t block = from; block < to; block++)
	{
		const float *a = screen->vectors + (size_t) block * LANES * length;
		const float *norms = screen->norms + (size_t) block * LANES;
		float32x4_t even[4];
		float32x4_t odd[4];
		uint32_t mask = 0;
		int f = 0;

		for (int quarter = 0; quarter < 4; quarter++)
			even[quarter] = odd[quarter] = vdupq_n_f32(0);
		for (; f + 2 <= length; f += 2, a += 2 * LANES)
			for (int quarter = 0; quarter < 4; quarter++)
			{
				even[quarter] = vfmaq_n_f32(even[quarter], vld1q_f32(a + 4 * quarter), q[f]);
				odd[quarter] = vfmaq_n_f32(odd[quarter], vld1q_f32(a + LANES + 4 * quarter),
										   q[f + 1]);
			}
		if (f < length)
			for (int quarter = 0; quarter < 4; quarter++)
				even[quarter] = vfmaq_n_f32(even[quarter], vld1q_f32(a + 4 * quarter), q[f]);
		for (int quarter = 0; quarter < 4; quarter++)
		{
			float32x4_t norm = vld1q_f32(norms + 4 * quarter);
			float32x4_t upper = vaddq_f32(vaddq_f32(even[quarter], odd[quarter]),
										  vfmaq_f32(absolute, factor, norm));

			mask |= neon_survivors(upper, threshold, norm, limit) << (4 * quarter);
		}
		if (mask != 0)
		{
			*survivors = mask;
			return block;
		}
	}
	return to;
}

#endif

static bool
cpu_has_all(void)
{
	return true;
}

/* Best first. */
static const struct Kernel
{
	const char *name;
	bool (*runs_here)(void);
	FmScreenKernel screen;
} kernels[] = {
#ifdef HAVE_X86_KERNELS
	{"avx512", cpu_has_avx512, screen_avx512},
	{"avx2", cpu_has_avx2, screen_avx2},
#endif
#ifdef HAVE_NEON_KERNEL
	{"neon", cpu_has_all, screen_neon},
#endif
	{"c", cpu_has_all, screen_c},
};

#define NUM_KERNELS (sizeof(kernels) / sizeof(kernels[0]))

/* NULL until the first use or choice. */
static const struct Kernel *kernel_in_use = NULL;

static const struct Kernel *
best_kernel(void)
{
	const struct Kernel *kernel = kernels;

	while (!kernel->runs_here())
		kernel++; /* the last one always does */
	return kernel;
}

static const struct Kernel *
current_kernel(void)
{
	if (kernel_in_use == NULL)
		kernel_in_use = best_kernel();
	return kernel_in_use;
}

FmScreenKernel
fm_screen_kernel(void)
{
	return current_kernel()->screen;
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
	return current_kernel()->name;
}

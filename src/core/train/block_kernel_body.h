/*
 * The body of a block kernel, included by block_kernels.c once for each instruction set with
 *
 *   KERNEL(name)    the name of the function in this kernel
 *   KERNEL_TARGET   the function attribute that enables the instructions
 *   KERNEL_WIDTH    floats in a SIMD register
 *   KERNEL_TILE     rows of the register tile of the Gram matrix
 *   KERNEL_NARROW   floats in a register no wider than that
 *   KERNEL_EVEN     0, 2, 4 ..: as many as there are floats in a register
 *   KERNEL_ODD      1, 3, 5 ..
 *
 * It is written in the vector extensions that gcc and clang share, so the same text serves AVX-512,
 * AVX2, NEON and any other target. Products and sums are in single precision; block.c limits how
 * many are added before a double takes over.
 */
#define Vec KERNEL(Vec)
#define IntVec KERNEL(IntVec)
#define pack KERNEL(pack)
#define gather KERNEL(gather)
#define accumulate_tile KERNEL(accumulate_tile)
#define accumulate_narrow KERNEL(accumulate_narrow)
#define accumulate KERNEL(accumulate)
#define NarrowVec KERNEL(NarrowVec)
#define TileVec KERNEL(TileVec)
#define add_neighbours KERNEL(add_neighbours)
#define multiply_rows KERNEL(multiply_rows)
#define add_wide KERNEL(add_wide)
#define add_columns KERNEL(add_columns)
#define add_narrow KERNEL(add_narrow)
#define add_rows KERNEL(add_rows)
#define multiply_gram KERNEL(multiply_gram)
#define load_row KERNEL(load_row)
#define load KERNEL(load)
#define reciprocal_root KERNEL(reciprocal_root)
#define factor_lanes KERNEL(factor_lanes)
#define solve_back KERNEL(solve_back)
#define solve KERNEL(solve)
#define normals KERNEL(normals)

typedef float Vec __attribute__((vector_size(KERNEL_WIDTH * 4), may_alias));
typedef float TileVec __attribute__((vector_size(KERNEL_WIDTH * 4), may_alias,
									 /* rows of a stride are aligned so */
									 aligned(KERNEL_NARROW * 4)));
typedef float NarrowVec __attribute__((vector_size(KERNEL_NARROW * 4), may_alias));
typedef int32_t IntVec __attribute__((vector_size(KERNEL_WIDTH * 4), may_alias));

/*
 * Gather rows into a panel, prefetching the rows `ahead` ratings later, and add the standardised
 * ratings to `column`, where the rows hold -s·w. The column before it holds s, the scale of the
 * row.
 */
KERNEL_TARGET static void
pack(const float *rows, const int32_t *index, int ahead, const float *value, int count, int stride,
	 int column, double value_mean, double value_scale, float *panel)
{
	for (int r = 0; r < count; r++)
	{
		const float *from = rows + (size_t) index[r] * stride;
		const float *later = rows + (size_t) index[r + ahead] * stride;
		float *to = panel + (size_t) r * stride;

		for (int j = 0; j < stride; j += FM_CACHE_LINE / (int) sizeof(float))
			__builtin_prefetch(later + j);
		for (int j = 0; j < stride; j += KERNEL_NARROW)
			*(NarrowVec *) (to + j) = *(const NarrowVec *) (from + j);
		to[column] += to[column - 1] * (float) ((value[r] - value_mean) * value_scale);
	}
}

/* Gather the first columns of rows into a panel, prefetching the rows `ahead` ratings later. */
KERNEL_TARGET static void
gather(const float *rows, const int32_t *index, int ahead, int count, int stride, int columns,
	   float *panel)
{
	for (int r = 0; r < count; r++)
	{
		const float *from = rows + (size_t) index[r] * stride;
		const float *later = rows + (size_t) index[r + ahead] * stride;
		float *to = panel + (size_t) r * columns;

		for (int j = 0; j < columns; j += FM_CACHE_LINE / (int) sizeof(float))
			__builtin_prefetch(later + j);
		for (int j = 0; j < columns; j += KERNEL_NARROW)
			*(NarrowVec *) (to + j) = *(const NarrowVec *) (from + j);
	}
}

/* One register tile: KERNEL_TILE rows by one register of columns of the Gram matrix. */
#define DEFINE_ACCUMULATE_TILE(name, Columns)                                                      \
	KERNEL_TARGET static inline void name(const float *row, const float *column, int count,        \
										  int stride, float *gram)                                 \
	{                                                                                              \
		Columns sum[KERNEL_TILE];                                                                  \
                                                                                                   \
		for (int i = 0; i < KERNEL_TILE; i++)                                                      \
			sum[i] = *(const Columns *) (gram + (size_t) i * stride);                              \
		for (int r = 0; r < count; r++)                                                            \
		{                                                                                          \
			Columns c = *(const Columns *) column;                                                 \
                                                                                                   \
			for (int i = 0; i < KERNEL_TILE; i++)                                                  \
				sum[i] += c * row[i];                                                              \
			row += stride;                                                                         \
			column += stride;                                                                      \
		}                                                                                          \
		for (int i = 0; i < KERNEL_TILE; i++)                                                      \
			*(Columns *) (gram + (size_t) i * stride) = sum[i];                                    \
	}

DEFINE_ACCUMULATE_TILE(accumulate_tile, TileVec)
DEFINE_ACCUMULATE_TILE(accumulate_narrow, NarrowVec)
#undef DEFINE_ACCUMULATE_TILE

/*
 * Add panel' panel to the lower triangle of gram. If a whole register of columns would reach beyond
 * the diagonal's tile, a register of KERNEL_TILE columns is used.
 */
KERNEL_TARGET static void
accumulate(const float *panel, int count, int stride, float *gram)
{
	for (int i = 0; i < stride; i += KERNEL_TILE)
	{
		float *rows = gram + (size_t) i * stride;
		int end = i + KERNEL_TILE, j = 0;

		for (; j + KERNEL_WIDTH <= end; j += KERNEL_WIDTH)
			accumulate_tile(panel + i, panel + j, count, stride, rows + j);
		if (j < end)
			accumulate_narrow(panel + i, panel + j, count, stride, rows + j);
	}
}

/* Add neighbours: first those of a, then those of b. */
KERNEL_TARGET static inline Vec
add_neighbours(Vec a, Vec b)
{
	return FM_SHUFFLE(a, b, KERNEL_EVEN) + FM_SHUFFLE(a, b, KERNEL_ODD);
}

/*
 * Return the products of up to KERNEL_WIDTH rows with x; 0 beyond. Four rows at a time share the
 * loads of x. In the end, log₂ KERNEL_WIDTH rounds of adding neighbours turn one register for each
 * row into one register of all products. If a row is no multiple of a register, `last` is
 * multiplied with its last register, and has zeros for the columns that came before.
 */
KERNEL_TARGET static inline Vec
multiply_rows(const float *panel, int count, int stride, const float *x, Vec last)
{
	int whole = stride / KERNEL_WIDTH * KERNEL_WIDTH;
	Vec sum[KERNEL_WIDTH];

	for (int i = 0; i < KERNEL_WIDTH; i += 4)
	{
		Vec part[4] = {{0}};
		const float *row[4];

		for (int q = 0; q < 4; q++)
			row[q] = panel + (size_t) (i + q < count ? i + q : count - 1) * stride;
		for (int j = 0; i < count && j < whole; j += KERNEL_WIDTH)
			for (int q = 0; q < 4; q++)
				part[q] += *(const TileVec *) (x + j) * *(const TileVec *) (row[q] + j);
		for (int q = 0; q < 4; q++)
		{
			if (whole < stride)
				part[q] += last * *(const TileVec *) (row[q] + stride - KERNEL_WIDTH);
			sum[i + q] = i + q < count ? part[q] : (Vec){0};
		}
	}
	for (int left = KERNEL_WIDTH / 2; left > 0; left /= 2)
		for (int i = 0; i < left; i++)
			sum[i] = add_neighbours(sum[2 * i], sum[2 * i + 1]);
	return sum[0];
}

/* Add four registers of columns of Σ coefficient × row to sum. */
KERNEL_TARGET static inline void
add_wide(const float *row, int count, int stride, const float *coefficient, float *sum)
{
	Vec part[4];

	for (int q = 0; q < 4; q++)
		part[q] = *(const TileVec *) (sum + q * KERNEL_WIDTH);
	for (int r = 0; r < count; r++, row += stride)
		for (int q = 0; q < 4; q++)
			part[q] += coefficient[r] * *(const TileVec *) (row + q * KERNEL_WIDTH);
	for (int q = 0; q < 4; q++)
		*(TileVec *) (sum + q * KERNEL_WIDTH) = part[q];
}

/*
 * Add one register of columns. Four sums are under way, because an addition takes as long as four
 * begin.
 */
#define DEFINE_ADD_COLUMNS(name, Columns)                                                          \
	KERNEL_TARGET static inline void name(const float *row, int count, int stride,                 \
										  const float *coefficient, float *sum)                    \
	{                                                                                              \
		Columns part[4] = {{0}};                                                                   \
		int r = 0;                                                                                 \
                                                                                                   \
		for (; r + 4 <= count; r += 4)                                                             \
			for (int q = 0; q < 4; q++, row += stride)                                             \
				part[q] += coefficient[r + q] * *(const Columns *) row;                            \
		for (; r < count; r++, row += stride)                                                      \
			part[0] += coefficient[r] * *(const Columns *) row;                                    \
		*(Columns *) sum += (part[0] + part[1]) + (part[2] + part[3]);                             \
	}

DEFINE_ADD_COLUMNS(add_columns, TileVec)
DEFINE_ADD_COLUMNS(add_narrow, NarrowVec)
#undef DEFINE_ADD_COLUMNS

/* Compute sum += panel' coefficient. */
KERNEL_TARGET static inline void
add_rows(const float *panel, int count, int stride, const float *coefficient, float *sum)
{
	int j = 0;

	for (; j + 4 * KERNEL_WIDTH <= stride; j += 4 * KERNEL_WIDTH)
		add_wide(panel + j, count, stride, coefficient, sum + j);
	for (; j + KERNEL_WIDTH <= stride; j += KERNEL_WIDTH)
		add_columns(panel + j, count, stride, coefficient, sum + j);
	for (; j < stride; j += KERNEL_NARROW)
		add_narrow(panel + j, count, stride, coefficient, sum + j);
}

/*
 * Compute sum += panel' (panel x - target): the product of the panel's Gram matrix with x, without
 * that matrix. Without a target it is 0. Return |panel x - target|².
 */
KERNEL_TARGET static float
multiply_gram(const float *panel, int count, int stride, const float *x, const float *target,
			  float *sum)
{
	float last[KERNEL_WIDTH] __attribute__((aligned(FM_ALIGNMENT))) = {0};
	Vec squares = {0};
	float square = 0;

	for (int j = stride / KERNEL_WIDTH * KERNEL_WIDTH; j < stride; j++)
		last[KERNEL_WIDTH - stride + j] = x[j];
	for (int r = 0; r < count; r += KERNEL_WIDTH)
	{
		const float *rows = panel + (size_t) r * stride;
		int some = count - r < KERNEL_WIDTH ? count - r : KERNEL_WIDTH;
		float product[KERNEL_WIDTH] __attribute__((aligned(FM_ALIGNMENT))) = {0};

		VEC(product) = multiply_rows(rows, some, stride, x, CONST_VEC(last));
		for (int i = 0; target != NULL && i < some; i++)
			product[i] -= target[r + i];
		squares += CONST_VEC(product) * CONST_VEC(product);
		add_rows(rows, some, stride, product, sum);
	}
	for (int i = 0; i < KERNEL_WIDTH; i++)
		square += squares[i];
	return square;
}

/* Copy one row of every Gram matrix of a batch, scaled, into its lanes. */
KERNEL_TARGET static inline void
load_row(const float *gram, size_t gram_size, int count, const float *precision, float *matrix)
{
	for (int j = 0; j < count; j++)
		for (int lane = 0; lane < FM_BLOCK_LANES; lane++)
			matrix[(size_t) j * FM_BLOCK_LANES + lane] = precision[lane] *
														 gram[gram_size * lane + j];
}

/*
 * Copy the Gram matrices of a batch into its lanes: packed rows of noise precision × gram, of which
 * the last is the right-hand side. Add the prior to the diagonal and the right-hand side.
 */
KERNEL_TARGET static void
load(const float *gram, size_t gram_size, int stride, int dim, const float *precision,
	 const float *prior, const float *prior_factor, const float *prior_linear, float *matrix)
{
	for (int i = 0; i <= dim; i++)
	{
		float *row = matrix + FM_PACKED_ROW(i);

		load_row(gram + (size_t) i * stride, gram_size, i < dim ? i + 1 : dim, precision, row);
		if (i == dim)
			for (int j = 0; j < dim * FM_BLOCK_LANES; j++)
				row[j] += prior_linear[j];
		else
			for (int lane = 0; lane < FM_BLOCK_LANES; lane++)
				row[(size_t) i * FM_BLOCK_LANES + lane] += prior[i] * prior_factor[lane];
	}
}

/* Return 1/√x for positive normal floats, by Newton's method from the halved exponent. */
KERNEL_TARGET static inline Vec
reciprocal_root(Vec x)
{
	IntVec bits = 0x5f3759df - (((IntVec) x) >> 1);
	Vec y = (Vec) bits;
	Vec half = x * 0.5f;

	for (int step = 0; step < 3; step++)
		y = y * (1.5f - half * y * y);
	return y;
}

/*
 * Factor the matrices in place (Cholesky, left-looking, four rows at a time). The right-hand side
 * is the last row, and becomes h = L⁻¹ rhs. The diagonal keeps the reciprocals. Rows beyond the
 * last are computed as copies of the last, which saves a loop for the remainder. Return -1 in the
 * lanes where every pivot kept more than FM_PIVOT_TOLERANCE of its diagonal element.
 */
KERNEL_TARGET static inline IntVec
factor_lanes(int dim, float *matrix)
{
	IntVec sound = {0};

	sound -= 1;
	for (int j = 0; j < dim; j++)
	{
		const float *row_j = matrix + FM_PACKED_ROW(j);
		Vec reciprocal = {0};

		for (int i = j; i <= dim; i += 4)
		{
			float *row[4];
			Vec sum[4];

			for (int q = 0; q < 4; q++)
			{
				row[q] = matrix + FM_PACKED_ROW(i + q < dim ? i + q : dim);
				sum[q] = CONST_VEC(row[q] + (size_t) j * FM_BLOCK_LANES);
			}
			for (size_t p = 0; p < (size_t) j * FM_BLOCK_LANES; p += FM_BLOCK_LANES)
			{
				Vec l = CONST_VEC(row_j + p);

				for (int q = 0; q < 4; q++)
					sum[q] -= CONST_VEC(row[q] + p) * l;
			}
			if (i == j)
			{
				Vec diagonal = CONST_VEC(row_j + (size_t) j * FM_BLOCK_LANES);

				sound &= sum[0] > diagonal * FM_PIVOT_TOLERANCE;
				reciprocal = reciprocal_root(sum[0]);
				sum[0] = (Vec){0} + 1.0f;
			}
			for (int q = 0; q < 4; q++)
				VEC(row[q] + (size_t) j * FM_BLOCK_LANES) = sum[q] * reciprocal;
		}
	}
	return sound;
}

/*
 * Compute mean = L⁻ᵀ h and draw = L⁻ᵀ (h + noise), from the last row up. Both start as the
 * right-hand side.
 */
KERNEL_TARGET static inline void
solve_back(int dim, const float *matrix, float *mean, float *draw)
{
	for (int i = dim - 1; i >= 0; i--)
	{
		const float *row = matrix + FM_PACKED_ROW(i);
		size_t at = (size_t) i * FM_BLOCK_LANES;
		Vec m = CONST_VEC(mean + at) * CONST_VEC(row + at);
		Vec d = CONST_VEC(draw + at) * CONST_VEC(row + at);

		VEC(mean + at) = m;
		VEC(draw + at) = d;
		for (size_t j = 0; j < at; j += FM_BLOCK_LANES)
		{
			Vec l = CONST_VEC(row + j);

			VEC(mean + j) -= l * m;
			VEC(draw + j) -= l * d;
		}
	}
}

/*
 * Solve a batch. `noise` holds standard normals (or zeros), norm2 is |h + noise|², and sound is 0
 * in the lanes that single precision could not factor.
 */
KERNEL_TARGET static void
solve(int dim, float *matrix, const float *noise, float *mean, float *draw, float *norm2,
	  int32_t *sound)
{
	for (int lane = 0; lane < FM_BLOCK_LANES; lane += KERNEL_WIDTH)
	{
		IntVec lane_sound = factor_lanes(dim, matrix + lane);
		const float *h = matrix + FM_PACKED_ROW(dim) + lane;
		Vec sum = {0};

		for (size_t j = 0; j < (size_t) dim * FM_BLOCK_LANES; j += FM_BLOCK_LANES)
		{
			Vec shifted = CONST_VEC(h + j) + CONST_VEC(noise + lane + j);

			VEC(mean + lane + j) = CONST_VEC(h + j);
			VEC(draw + lane + j) = shifted;
			sum += shifted * shifted;
		}
		VEC(norm2 + lane) = sum;
		*(IntVec *) (sound + lane) = lane_sound;
		solve_back(dim, matrix + lane, mean + lane, draw + lane);
	}
}

KERNEL_TARGET static void
normals(const FmRandomKey *key, const uint32_t *entity, int dims, float *out)
{
	random_normals(key, entity, dims, out);
}

#include "core/train/probit_kernel_body.h"

static const FmBlockKernel KERNEL(kernel) = {
	KERNEL_NAME,   KERNEL_TILE, pack,  gather,		accumulate, add_rows,
	multiply_gram, load,		solve, draw_latent, normals,
};

#undef Vec
#undef IntVec
#undef pack
#undef gather
#undef accumulate_tile
#undef accumulate_narrow
#undef accumulate
#undef NarrowVec
#undef TileVec
#undef add_neighbours
#undef multiply_rows
#undef add_wide
#undef add_columns
#undef add_narrow
#undef add_rows
#undef multiply_gram
#undef load_row
#undef load
#undef reciprocal_root
#undef factor_lanes
#undef solve_back
#undef solve
#undef draw_latent
#undef normals
#undef KERNEL
#undef KERNEL_NAME
#undef KERNEL_TARGET
#undef KERNEL_WIDTH
#undef KERNEL_TILE
#undef KERNEL_NARROW
#undef KERNEL_EVEN
#undef KERNEL_ODD

/*
 * The hot part of probit.c, included by block_kernel_body.h for each instruction set. `draw_latent`
 * draws y* - η for the rows of a panel, as many at a time as a register holds. The method is in
 * probit.c.
 */
#define choose KERNEL(choose)
#define logarithm KERNEL(logarithm)
#define exponential KERNEL(exponential)
#define scaled_tail KERNEL(scaled_tail)
#define quantile_of_root KERNEL(quantile_of_root)
#define multiply_row KERNEL(multiply_row)
#define draw_lanes KERNEL(draw_lanes)
#define draw_latent KERNEL(draw_latent)

/* Return the first where mask is -1, and the second where it is 0. */
KERNEL_TARGET static inline Vec
choose(IntVec mask, Vec yes, Vec no)
{
	return (Vec) ((mask & (IntVec) yes) | (~mask & (IntVec) no));
}

/* Return ln x for positive normal floats: 2 artanh((m - 1) / (m + 1)) + e ln 2, m in [√½, √2). */
KERNEL_TARGET static inline Vec
logarithm(Vec x)
{
	IntVec bits = (IntVec) x;
	IntVec exponent = (bits - 0x3f3504f3) >> 23;
	Vec m = (Vec) (bits - (exponent << 23));
	Vec s = (m - 1.0f) / (m + 1.0f);
	Vec s2 = s * s;

	return __builtin_convertvector(exponent, Vec) * LN_2_F +
		   2.0f * s * (1.0f + s2 * (1.0f / 3 + s2 * (1.0f / 5 + s2 * (1.0f / 7 + s2 / 9.0f))));
}

/* Return e^x for x ≤ 0: 2^n by the exponent, the rest by Taylor's series. */
KERNEL_TARGET static inline Vec
exponential(Vec x)
{
	Vec bounded = choose(x > -86.0f, x, (Vec){0} - 86.0f);
	IntVec n = __builtin_convertvector(bounded * (1 / LN_2_F) - 0.5f, IntVec);
	Vec r = bounded - __builtin_convertvector(n, Vec) * LN_2_F;
	Vec series = r / 720.0f + 1.0f / 120;

	series = 1.0f / 6 + r * (1.0f / 24 + r * series);
	series = 1.0f + r * (1.0f + r * (0.5f + r * series));
	return (Vec) ((n + 127) << 23) * series;
}

/* Return g(b) = Φ(-b) exp(b²/2) for b ≥ 0. */
KERNEL_TARGET static inline Vec
scaled_tail(Vec b)
{
	static const float coefficient[] = {1.276614047e-01f,  1.276829554e-01f, 1.139992687e-01f,
										9.451399405e-02f,  2.317030994e-02f, 9.534364555e-02f,
										-1.146634823e-01f, 3.229141457e-02f};
	Vec s = 1.0f / (1.0f + 0.32f * b), sum = {0};

	for (int i = 7; i >= 0; i--)
		sum = sum * s + coefficient[i];
	return s * sum;
}

/* Return -Φ⁻¹(p) for x = √(-2 ln p), p ≤ ½. */
KERNEL_TARGET static inline Vec
quantile_of_root(Vec x)
{
	Vec n = 3.076457499f + x * (6.507430834f + x * (1.253277681f + x * 2.485865320e-02f));
	Vec d = 1.0f +
			x * (4.375753439f + x * (2.867907882f + x * (3.036531275e-01f + x * 3.624740972e-03f)));

	return x - n / d;
}

/* Return the product of a row and theta, summed in a fixed order. */
KERNEL_TARGET static inline float
multiply_row(const float *row, const float *theta, int stride)
{
	float part[KERNEL_NARROW];
	NarrowVec sum = {0};

	for (int j = 0; j < stride; j += KERNEL_NARROW)
		sum += *(const NarrowVec *) (row + j) * *(const NarrowVec *) (theta + j);
	memcpy(part, &sum, sizeof(part));
	for (int half = KERNEL_NARROW / 2; half > 0; half /= 2)
		for (int j = 0; j < half; j++)
			part[j] += part[j + half];
	return part[0];
}

/* Draw for a register full of rows, from number r on. */
KERNEL_TARGET static inline void
draw_lanes(FmLatentRows *rows, int r, float offset)
{
	Vec sign = CONST_VEC(rows->sign + r);
	Vec u = (__builtin_convertvector(*(const IntVec *) (rows->word + r) & 0x7fffffff, Vec) + 0.5f) *
			0x1p-31f;
	Vec a = sign * (CONST_VEC(rows->score + r) + offset);
	IntVec in_tail = a < 0.0f;
	Vec b = choose(in_tail, -a, a), half = 0.5f * b * b;
	Vec tail = scaled_tail(b), density = exponential(-half);
	/* Φ(a), in the tail divided by exp(-b²/2) */
	Vec scaled = choose(in_tail, tail, 1.0f - tail * density);
	Vec log_scale = choose(in_tail, half, (Vec){0});
	Vec p = u * scaled;
	IntVec upper = ~in_tail & (p > 0.5f);
	Vec folded = choose(upper, 1.0f - p, p), twice, t, mean;

	folded = choose(folded > FM_PROBIT_P_MIN, folded, (Vec){0} + FM_PROBIT_P_MIN);
	twice = 2.0f * (log_scale - logarithm(folded));
	t = quantile_of_root(twice * reciprocal_root(twice));
	t = choose(upper, -t, t);
	t = choose(t > -a, t, -a);
	mean = FM_PROBIT_DENSITY_0 * choose(in_tail, (Vec){0} + 1.0f, density) / scaled;
	VEC(rows->noise + r) = sign * (mean + (t - mean) * CONST_VEC(rows->spread + r));
	VEC(rows->loss + r) = log_scale - logarithm(scaled);
}

KERNEL_TARGET static void
draw_latent(const FmProbit *probit, uint32_t entity, uint32_t position, const float *panel,
			const float *theta, int count, int stride, FmLatentRows *rows)
{
	random_words(&probit->key, entity, position, rows->word);
	for (int r = 0; r < count; r++)
		rows->score[r] = multiply_row(panel + (size_t) r * stride, theta, stride);
	for (int r = 0; r < count; r += KERNEL_WIDTH)
		draw_lanes(rows, r, probit->offset);
}

#undef choose
#undef logarithm
#undef exponential
#undef scaled_tail
#undef quantile_of_root
#undef multiply_row
#undef draw_lanes

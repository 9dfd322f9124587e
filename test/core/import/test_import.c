/*
 * Models of other systems: files that this test writes from the description of each format are read
 * as they were meant, and whatever else is refused. Prints TAP.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/import/import.h"
#include "support/data.h"
#include "support/tap.h"

#define ROWS 7
#define FACTORS 3
#define LIMIT ((size_t) 1 << 20)

#define MAX_BLOCKS 4096

static void *blocks[MAX_BLOCKS];
static size_t sizes[MAX_BLOCKS];
static int num_blocks;
static size_t taken, most_taken;
static jmp_buf failed;
static char message[1024];

static void *
take(void *ctx, size_t count, size_t size)
{
	if (num_blocks == MAX_BLOCKS)
		abort();
	sizes[num_blocks] = count * size;
	taken += count * size;
	most_taken = taken > most_taken ? taken : most_taken;
	return blocks[num_blocks++] = host.alloc(ctx, count, size);
}

static void
give(void *ctx, void *pointer)
{
	for (int i = 0; i < num_blocks; i++)
		if (pointer != NULL && blocks[i] == pointer)
		{
			taken -= sizes[i];
			blocks[i] = blocks[--num_blocks];
			sizes[i] = sizes[num_blocks];
			break;
		}
	host.release(ctx, pointer);
}

static void
forget(void)
{
	while (num_blocks > 0)
		give(NULL, blocks[num_blocks - 1]);
}

static void
look(void *ctx)
{
}

static void
leave(void *ctx, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	longjmp(failed, 1);
}

static const FmHost forgetful = {.alloc = take,
								 .release = give,
								 .check_interrupts = look,
								 .fail = leave};

/* Read a model; return whether it is one. Its memory stays until forget(). */
static bool
imports_within(FmBytes bytes, FmImportFormat format, bool normalised, size_t limit,
			   FmImported *model)
{
	FmImporting importing = {&forgetful, limit, normalised};
	/* a copy of exactly this length: reading beyond it is a report of the sanitizer */
	unsigned char *copy = malloc(bytes.length > 0 ? bytes.length : 1);

	if (bytes.length > 0)
		memcpy(copy, bytes.data, bytes.length);
	message[0] = '\0';
	most_taken = 0;
	if (setjmp(failed) != 0)
	{
		free(copy);
		forget();
		return false;
	}
	fm_import_read(&importing, format, (FmBytes){copy, bytes.length}, model);
	free(copy);
	return true;
}

static bool
imports(FmBytes bytes, FmImported *model)
{
	return imports_within(bytes, FM_IMPORT_AUTO, true, LIMIT, model);
}

typedef struct Writer
{
	unsigned char data[1 << 16];
	size_t length;
} Writer;

static void
put(Writer *to, const void *data, size_t length)
{
	if (to->length + length > sizeof(to->data))
		abort();
	memcpy(to->data + to->length, data, length);
	to->length += length;
}

static void
put_number(Writer *to, uint64_t value, int size)
{
	for (int i = 0; i < size; i++)
	{
		unsigned char byte = (unsigned char) (value >> 8 * i);

		put(to, &byte, 1);
	}
}

static FmBytes
written(const Writer *writer)
{
	return (FmBytes){writer->data, writer->length};
}

static float true_w[ROWS], true_v[ROWS][FACTORS], true_b;

/* Numbers that binary16 and bfloat16 hold, too. Row 2 is zero, so that row_sparse leaves it out. */
static void
make_truth(void)
{
	true_b = 3.5F;
	for (int r = 0; r < ROWS; r++)
	{
		true_w[r] = r == 2 ? 0 : (float) (r - 3) / 4 + 0.125F;
		for (int f = 0; f < FACTORS; f++)
			true_v[r][f] = r == 2 ? 0 : (float) ((r * 5 + f * 3) % 11 - 5) / 8 + 0.0625F;
	}
}

static void
put_shape(Writer *to, int version, int64_t rows, int64_t columns)
{
	put_number(to, 2, 4);
	put_number(to, (uint64_t) rows, version == 0 ? 4 : 8);
	put_number(to, (uint64_t) columns, version == 0 ? 4 : 8);
}

static void
put_element(Writer *to, int type, float value)
{
	double wide = value;
	uint32_t bits;
	uint64_t wide_bits;

	memcpy(&bits, &value, 4);
	memcpy(&wide_bits, &wide, 8);
	if (type == 1)
		put_number(to, wide_bits, 8);
	else if (type == 12)
		put_number(to, bits >> 16, 2);
	else if (type == 2)
		put_number(to,
				   value == 0 ? 0
							  : (bits >> 16 & 0x8000) | ((bits >> 23 & 255) - 112) << 10 |
									(bits >> 13 & 1023),
				   2);
	else
		put_number(to, bits, 4);
}

/* Write a record of rows × columns numbers; a sparse one leaves out the rows that are zero. */
static void
put_array(Writer *to, int version, bool sparse, int type, int64_t rows, int64_t columns,
		  const float *numbers)
{
	static const uint32_t magic[] = {0, 0xF993FAC8, 0xF993FAC9, 0xF993FACA};
	int64_t stored[16], num_stored = 0;

	for (int64_t r = 0; r < rows; r++)
		for (int64_t c = 0; c < columns; c++)
			if (!sparse || numbers[r * columns + c] != 0)
			{
				stored[num_stored++] = r;
				break;
			}
	if (version > 0)
		put_number(to, magic[version], 4);
	if (version >= 2)
		put_number(to, sparse, 4);
	if (sparse)
		put_shape(to, version, num_stored, columns);
	put_shape(to, version, rows, columns);
	put_number(to, 1, 4); /* the context */
	put_number(to, 0, 4);
	put_number(to, (uint64_t) type, 4);
	if (sparse)
	{
		put_number(to, 6, 4);
		put_number(to, 1, 4);
		put_number(to, (uint64_t) num_stored, 8);
	}
	for (int64_t s = 0; s < num_stored; s++)
		for (int64_t c = 0; c < columns; c++)
			put_element(to, type, numbers[stored[s] * columns + c]);
	for (int64_t s = 0; sparse && s < num_stored; s++)
		put_number(to, (uint64_t) stored[s], 8);
}

static void
put_name(Writer *to, const char *prefix, const char *name)
{
	put_number(to, strlen(prefix) + strlen(name), 8);
	put(to, prefix, strlen(prefix));
	put(to, name, strlen(name));
}

/* Write the list of arrays of the model. */
static void
put_list(Writer *to, int version, bool sparse, int type, bool dense_layout, const char *prefix)
{
	float transposed[FACTORS][ROWS];

	for (int r = 0; r < ROWS; r++)
		for (int f = 0; f < FACTORS; f++)
			transposed[f][r] = true_v[r][f];
	to->length = 0;
	put_number(to, 0x112, 8);
	put_number(to, 0, 8);
	put_number(to, 3, 8);
	if (dense_layout)
	{
		put_array(to, version, sparse, type, FACTORS, ROWS, transposed[0]);
		put_array(to, version, sparse, type, 1, ROWS, true_w);
	}
	else
	{
		put_array(to, version, sparse, type, ROWS, FACTORS, true_v[0]);
		put_array(to, version, sparse, type, ROWS, 1, true_w);
	}
	put_array(to, version, sparse, type, 1, 1, &true_b);
	put_number(to, 3, 8);
	put_name(to, prefix, "v");
	put_name(to, prefix, dense_layout ? "Linear_Plus_Bias_weight" : "w1_weight");
	put_name(to, prefix, dense_layout ? "Linear_Plus_Bias_bias" : "w0_weight");
}

static size_t
deflate_bytes(FmBytes bytes, int window, unsigned char *to, size_t room)
{
	z_stream stream = {.next_in = (Bytef *) bytes.data,
					   .avail_in = (uInt) bytes.length,
					   .next_out = to,
					   .avail_out = (uInt) room};

	if (deflateInit2(&stream, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
		deflate(&stream, Z_FINISH) != Z_STREAM_END)
		abort();
	deflateEnd(&stream);
	return room - stream.avail_out;
}

/* Write a ZIP with a member before the one that is wanted. */
static void
put_zip(Writer *to, FmBytes member, bool deflated)
{
	static unsigned char packed[1 << 16];
	const FmBytes contents[] = {{(const unsigned char *) "{}", 2}, member};
	const char *const names[] = {"meta.json", "params"};
	size_t offset[2], length[2], directory = 0;

	to->length = 0;
	for (int pass = 0; pass < 2; pass++)
	{
		if (pass == 1)
			directory = to->length;
		for (int m = 0; m < 2; m++)
		{
			bool pack = deflated && m == 1;

			if (pass == 0)
			{
				offset[m] = to->length;
				length[m] = pack ? deflate_bytes(member, -MAX_WBITS, packed, sizeof(packed))
								 : contents[m].length;
			}
			put(to, pass == 0 ? "PK\3\4" : "PK\1\2", 4);
			put_number(to, 20, pass == 0 ? 2 : 4);
			put_number(to, 0, 2);
			put_number(to, pack ? 8 : 0, 2);
			put_number(to, 0, 4);
			put_number(to, crc32(0, contents[m].data, (uInt) contents[m].length), 4);
			put_number(to, length[m], 4);
			put_number(to, contents[m].length, 4);
			put_number(to, strlen(names[m]), 2);
			put_number(to, 0, 2);
			if (pass == 1)
			{
				put_number(to, 0, 6); /* comment, disk, attributes */
				put_number(to, 0, 4);
				put_number(to, offset[m], 4);
			}
			put(to, names[m], strlen(names[m]));
			if (pass == 0)
				put(to, pack ? packed : contents[m].data, length[m]);
		}
	}
	offset[0] = to->length - directory;
	put(to, "PK\5\6", 4);
	put_number(to, 0, 4);
	put_number(to, 2, 2);
	put_number(to, 2, 2);
	put_number(to, offset[0], 4);
	put_number(to, directory, 4);
	put_number(to, 0, 2);
}

static void
put_tar_member(Writer *to, const char *name, FmBytes member)
{
	unsigned char header[512] = {0};
	unsigned sum = 0;
	static const unsigned char zeros[512];

	strcpy((char *) header, name);
	strcpy((char *) header + 100, "0000644");
	sprintf((char *) header + 124, "%011o", (unsigned) member.length);
	sprintf((char *) header + 136, "%011o", 0U);
	header[156] = '0';
	memcpy(header + 257, "ustar\00000", 8);
	memset(header + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += header[i];
	sprintf((char *) header + 148, "%06o", sum);
	put(to, header, 512);
	put(to, member.data, member.length);
	put(to, zeros, -member.length % 512);
}

/* Write a gzipped tar, as the service does. */
static void
put_tar_gz(Writer *to, FmBytes member)
{
	static Writer tar;
	static const unsigned char end[1024];

	tar.length = 0;
	put_tar_member(&tar, "state_0", (FmBytes){(const unsigned char *) "{}", 2});
	put_tar_member(&tar, "model_algo-1", member);
	put(&tar, end, sizeof(end));
	to->length = deflate_bytes(written(&tar), MAX_WBITS + 16, to->data, sizeof(to->data));
}

/* Return whether the model is the true one, times a scale, and forget it. */
static bool
is_true(const FmImported *model, float scale)
{
	bool same = model->num_rows == ROWS && model->num_factors == FACTORS && model->b == true_b;

	for (int r = 0; same && r < ROWS; r++)
	{
		same = same && model->w[r] == scale * true_w[r];
		for (int f = 0; f < FACTORS; f++)
			same = same && model->v[r * FACTORS + f] == scale * true_v[r][f];
	}
	forget();
	return same;
}

static bool
reads_truth(const Writer *writer)
{
	FmImported model;

	return imports(written(writer), &model) && is_true(&model, 1);
}

/* Every version, layout, storage, type and wrapping. */
static void
test_artefacts(void)
{
	static const int types[] = {0, 1, 2, 12};
	static Writer list, zip, tar;

	for (int version = 0; version <= 3; version++)
		for (int dense_layout = 0; dense_layout <= 1; dense_layout++)
			for (int sparse = 0; sparse <= (version == 2); sparse++)
			{
				bool all = true;

				for (int t = 0; t < 4; t++)
				{
					put_list(&list, version, sparse, types[t], dense_layout,
							 t == 0	  ? ""
							 : t == 1 ? "arg:"
									  : "aux:");
					all = all && reads_truth(&list);
					for (int deflated = 0; deflated <= 1; deflated++)
					{
						put_zip(&zip, written(&list), deflated);
						put_tar_gz(&tar, written(&zip));
						all = all && reads_truth(&zip) && reads_truth(&tar);
					}
					put_tar_gz(&tar, written(&list));
					all = all && reads_truth(&tar);
				}
				ok(all, "version %d, the %s layout, %s: bare, in a ZIP, in a tar", version,
				   dense_layout ? "dense" : "sparse", sparse ? "row_sparse" : "dense storage");
			}
}

static void
put_text(Writer *to, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put(to, text, strlen(text));
}

static void
put_libfm(Writer *to)
{
	to->length = 0;
	put_text(to, "#global bias W0\n%g\n#unary interactions Wj\n", true_b);
	for (int r = 0; r < ROWS; r++)
		put_text(to, "%g\n", true_w[r]);
	put_text(to, "#pairwise interactions Vj,f\n");
	for (int r = 0; r < ROWS; r++)
		put_text(to, "%g %g %g\n", true_v[r][0], true_v[r][1], true_v[r][2]);
}

static void
put_xlearn(Writer *to, const char *field)
{
	to->length = 0;
	put_text(to, "bias: %g\n", true_b);
	for (int r = 0; r < ROWS; r++)
		put_text(to, "i_%d: %g\n", r, true_w[r]);
	for (int r = 0; r < ROWS; r++)
		put_text(to, "v_%d%s: %g %g %g \n", r, field, true_v[r][0], true_v[r][1], true_v[r][2]);
}

static bool
refuses_text(const char *text)
{
	FmImported model;
	bool imported = imports((FmBytes){(const unsigned char *) text, strlen(text)}, &model);

	forget();
	return !imported;
}

static void
test_texts(void)
{
	static Writer text;
	FmImported model;

	put_libfm(&text);
	ok(reads_truth(&text), "libFM");
	put_xlearn(&text, "");
	ok(imports(written(&text), &model) && is_true(&model, (float) M_SQRT1_2),
	   "xLearn, trained on normalised instances");
	ok(imports_within(written(&text), FM_IMPORT_XLEARN, false, LIMIT, &model) && is_true(&model, 1),
	   "xLearn, trained without");
	put_xlearn(&text, "_1");
	ok(!imports(written(&text), &model) && strstr(message, "field-aware") != NULL,
	   "a field-aware model is refused: %s", message);
	ok(imports_within((FmBytes){(const unsigned char *) "#pairwise interactions Vj,f\n1 2\r\n3 4",
								36},
					  FM_IMPORT_AUTO, true, LIMIT, &model) &&
		   model.b == 0 && model.w[1] == 0 && model.v[3] == 4 && model.num_rows == 2,
	   "libFM without bias and w");
	forget();
	ok(refuses_text("#pairwise interactions Vj,f\n1 2\n3") &&
		   refuses_text("#pairwise interactions Vj,f\n1 2\n3 4 5") &&
		   refuses_text("#pairwise interactions Vj,f\n1 nan\n") &&
		   refuses_text("#pairwise interactions Vj,f\n1 0x1\n") &&
		   refuses_text("#pairwise interactions Vj,f\n1 1e99\n") &&
		   refuses_text("#pairwise interactions Vj,f\n") && refuses_text("#global bias W0\n1\n") &&
		   refuses_text("#unary interactions Wj\n1\n#pairwise interactions Vj,f\n1\n2\n") &&
		   refuses_text("#pairwise interactions Vj,f\n1\n#global bias W0\n1\n") &&
		   refuses_text("#else\n1\n"),
	   "what is not libFM's text is refused");
	ok(refuses_text("bias: 1\n") && refuses_text("bias: 1\ni_0: 1\nv_1: 1\n") &&
		   refuses_text("bias: 1\ni_0: 1\nv_99999999999999999999: 1\n") &&
		   refuses_text("bias: 1\ni_0: 1\nv_0: 1\nv_0: 1\n") && refuses_text("bias: 1\ni_0 1\n") &&
		   refuses_text("bias: x\ni_0: 1\nv_0: 1\n") && refuses_text(""),
	   "what is not xLearn's text is refused");
}

/* A file that ends early is refused, wherever it ends. */
static void
test_truncated(const char *what, const Writer *writer, size_t least)
{
	bool refused = true;

	for (size_t length = 0; refused && length < writer->length - least; length++)
	{
		FmImported model;

		refused = !imports((FmBytes){writer->data, length}, &model);
		forget();
	}
	ok(refused, "%s that ends early is refused", what);
}

static void
test_bombs(void)
{
	static unsigned char zeros[64 << 20];
	static Writer bomb;
	FmImported model;

	bomb.length = deflate_bytes((FmBytes){zeros, sizeof(zeros)}, MAX_WBITS + 16, bomb.data,
								sizeof(bomb.data));
	ok(!imports(written(&bomb), &model) && most_taken < 4 * LIMIT,
	   "64 MB of zeros in %zu bytes: %s", bomb.length, message);

	bomb.length = 0;
	put_number(&bomb, 0x112, 8);
	put_number(&bomb, 0, 8);
	put_number(&bomb, 3, 8);
	put_array(&bomb, 0, false, 0, 1, 1, &true_b);
	put_array(&bomb, 0, false, 0, 1, 1, &true_b);
	put_number(&bomb, 0xF993FAC9, 4);
	put_number(&bomb, 1, 4);
	put_shape(&bomb, 2, 0, 64);
	put_shape(&bomb, 2, INT32_MAX, 64);
	put_number(&bomb, 1, 8);
	put_number(&bomb, 0, 4);
	put_number(&bomb, 6, 4);
	put_number(&bomb, 1, 4);
	put_number(&bomb, 0, 8);
	put_number(&bomb, 3, 8);
	put_name(&bomb, "", "w0_weight");
	put_name(&bomb, "", "w1_weight");
	put_name(&bomb, "", "v");
	ok(!imports(written(&bomb), &model) && most_taken < LIMIT,
	   "an array whose rows are left out: %s", message);

	bomb.length = 0;
	put_number(&bomb, 0x112, 8);
	put_number(&bomb, 0, 8);
	put_number(&bomb, UINT64_MAX, 8);
	ok(!imports(written(&bomb), &model) && most_taken < LIMIT, "too many arrays: %s", message);

	bomb.length = 24;
	bomb.data[16] = 1;
	memset(bomb.data + 17, 0, 7);
	put_number(&bomb, 0xF993FAC8, 4);
	put_shape(&bomb, 1, INT64_MAX, INT64_MAX);
	put_number(&bomb, 0, 8);
	put_number(&bomb, 0, 4);
	ok(!imports(written(&bomb), &model) && most_taken < LIMIT, "a product that overflows: %s",
	   message);
}

/* Change some bytes, or cut, repeat or move a part. */
static void
mutate(const Writer *from, Writer *to)
{
	*to = *from;
	for (int changes = 1 + (int) (random_bits() % 4); changes > 0 && to->length > 0; changes--)
	{
		size_t at = random_bits() % to->length, length = random_bits() % 16;

		if (at + length > to->length)
			length = to->length - at;
		switch (random_bits() % 6)
		{
			case 0:
				to->data[at] = (unsigned char) random_bits();
				break;
			case 1:
				to->data[at] ^= (unsigned char) (1 << random_bits() % 8);
				break;
			case 2: /* a number of four bytes that stands at the edge of something */
				for (size_t i = at; i < to->length && i < at + 4; i++)
					to->data[i] = random_bits() % 2 ? 0xff : 0;
				break;
			case 3:
				memmove(to->data + at, to->data + at + length, to->length - at - length);
				to->length -= length;
				break;
			case 4:
				if (to->length + length <= sizeof(to->data))
				{
					memmove(to->data + at + length, to->data + at, to->length - at);
					to->length += length;
				}
				break;
			default:
				memmove(to->data + at, to->data + random_bits() % (to->length - length + 1),
						length);
		}
	}
}

/* Return whether every parameter is finite. */
static bool
is_finite(const FmImported *model)
{
	bool finite = isfinite(model->b);

	for (int r = 0; r < model->num_rows; r++)
		finite = finite && isfinite(model->w[r]);
	for (size_t i = 0; i < (size_t) model->num_rows * model->num_factors; i++)
		finite = finite && isfinite(model->v[i]);
	return finite;
}

static void
test_mutated(int count)
{
	enum
	{
		SEEDS = 12
	};
	static Writer seeds[SEEDS], list, mutated;
	int imported = 0, wrong = 0;

	for (int s = 0; s < 6; s++)
		put_list(&seeds[s], s < 4 ? s : 2, s >= 4, s % 2, s % 2, s % 3 ? "arg:" : "");
	for (int s = 6; s < 10; s++)
	{
		put_list(&list, s % 4, s == 6, 0, s % 2, "");
		if (s < 8)
			put_zip(&seeds[s], written(&list), s % 2);
		else
			put_tar_gz(&seeds[s], written(&list));
	}
	put_libfm(&seeds[10]);
	put_xlearn(&seeds[11], "");
	for (int i = 0; i < count; i++)
	{
		FmImported model;

		mutate(&seeds[i % SEEDS], &mutated);
		if (imports(written(&mutated), &model))
		{
			imported++;
			wrong += !is_finite(&model);
		}
		wrong += most_taken > 6 * LIMIT;
		forget();
	}
	ok(wrong == 0 && imported > count / 20 && imported < count,
	   "%d mutated files: %d imported, the others refused", count, imported);
}

int
main(void)
{
	static Writer list, wrapped;

	make_truth();
	test_artefacts();
	test_texts();
	for (int version = 0; version <= 3; version++)
	{
		put_list(&list, version, version == 2, 0, false, "");
		test_truncated("a list of arrays", &list, 0);
	}
	put_zip(&wrapped, written(&list), true);
	test_truncated("a ZIP", &wrapped, 0);
	put_tar_gz(&wrapped, written(&list));
	test_truncated("a gzipped tar", &wrapped, 0);
	put_libfm(&list);
	test_truncated("libFM's text", &list, 1 + strlen(" 0.3125"));
	test_bombs();
	test_mutated(50000);
	return done_testing();
}

/*
 * A part of a matrix: some of its items, as a matrix of their own.
 *
 * Many scans of a part are faster than scans of the whole that pass over the other items: tiles
 * hold similar items of the part, and nothing else is screened. The memory is the caller's.
 */
#include "core/scan/scan_part.h"

#include "core/layout.h"

struct FmScanPart
{
	int32_t num_whole; /* items of the whole */
	int32_t count;
	size_t items_offset;  /* by place in the part: the item of the whole */
	size_t places_offset; /* by item of the whole: the place, or -1 */
	size_t matrix_offset;
};

static void *
at(const FmScanPart *part, size_t offset)
{
	return (char *) part + offset;
}

/* Fill in the header; return the size of the whole, 0 if it does not fit a size_t. */
static size_t
lay_out(FmScanPart *part, const FmScanMatrix *whole, int32_t count)
{
	FmLayout layout = {0};
	size_t matrix_size = fm_scan_matrix_size(count, fm_scan_matrix_factors(whole));

	part->num_whole = fm_scan_matrix_items(whole);
	part->count = count;
	(void) fm_layout_add(&layout, 1, sizeof(FmScanPart));
	part->items_offset = fm_layout_add(&layout, count, sizeof(int32_t));
	part->places_offset = fm_layout_add(&layout, part->num_whole, sizeof(int32_t));
	part->matrix_offset = fm_layout_add(&layout, matrix_size, 1);
	return matrix_size == 0 || layout.overflows ? 0 : layout.bytes;
}

size_t
fm_scan_part_size(const FmScanMatrix *whole, int32_t count)
{
	FmScanPart header;

	return lay_out(&header, whole, count);
}

FmScanPart *
fm_scan_part_init(void *memory, const FmScanMatrix *whole, const int32_t *items, int32_t count)
{
	FmScanPart *part = memory;
	int num_factors = fm_scan_matrix_factors(whole);
	FmScanMatrix *matrix;
	int32_t *own_items;
	int32_t *places;

	(void) lay_out(part, whole, count);
	own_items = at(part, part->items_offset);
	places = at(part, part->places_offset);
	matrix = fm_scan_matrix_init(at(part, part->matrix_offset), count, num_factors);
	for (int32_t item = 0; item < part->num_whole; item++)
		places[item] = -1;
	for (int32_t p = 0; p < count; p++)
	{
		const float *vector = fm_scan_vector(whole, items[p]);

		own_items[p] = items[p];
		places[items[p]] = p;
		fm_scan_matrix_set(matrix, p, vector, vector[num_factors]);
	}
	fm_scan_matrix_finish(matrix);
	return part;
}

const FmScanMatrix *
fm_scan_part_matrix(const FmScanPart *part)
{
	return at(part, part->matrix_offset);
}

const int32_t *
fm_scan_part_items(const FmScanPart *part)
{
	return at(part, part->items_offset);
}

int32_t
fm_scan_part_find(const FmScanPart *part, int32_t item)
{
	const int32_t *places = at(part, part->places_offset);

	return item < 0 || item >= part->num_whole ? -1 : places[item];
}

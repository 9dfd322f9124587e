/*
 * Members of archives. zlib decompresses, with the host's memory.
 *
 * What is decompressed grows as it comes, so that no more memory is taken than twice what it is,
 * and no more than the limit. Memory: decompressed bytes are the caller's.
 */
#include "core/import/archive.h"

#include <zlib.h>

#include "core/import/import_bytes.h"

#define GZIP_MAGIC "\x1f\x8b"
#define ZIP_MAGIC "PK\3\4"
#define ZIP_ENTRY "PK\1\2"
#define ZIP_END "PK\5\6"

/* How zlib is told of the wrapping: the size of the window, and 16 for that of gzip. */
#define GZIP_WINDOW (MAX_WBITS + 16)
#define RAW_WINDOW (-MAX_WBITS)

#define STEP ((size_t) 1 << 18) /* between two checks for interrupts */

#define TAR_BLOCK 512
#define ZIP_END_SIZE 22
#define ZIP_ENTRY_SIZE 46
#define ZIP_LOCAL_SIZE 30
#define ZIP_STORED 0
#define ZIP_DEFLATED 8
#define ZIP_ENCRYPTED 1

bool
fm_is_gzip(FmBytes bytes)
{
	return fm_bytes_begin(bytes, GZIP_MAGIC);
}

bool
fm_is_tar(FmBytes bytes)
{
	return bytes.length >= TAR_BLOCK && fm_bytes_begin(fm_bytes_from(bytes, 257), "ustar");
}

bool
fm_is_zip(FmBytes bytes)
{
	return fm_bytes_begin(bytes, ZIP_MAGIC);
}

static voidpf
zlib_alloc(voidpf opaque, uInt items, uInt size)
{
	const FmHost *host = opaque;

	return host->alloc(host->ctx, items, size);
}

static void
zlib_free(voidpf opaque, voidpf address)
{
	const FmHost *host = opaque;

	host->release(host->ctx, address);
}

/* Bytes that grow. */
typedef struct Output
{
	unsigned char *data;
	size_t length;
	size_t capacity;
} Output;

/* Make room for more bytes, within the limit. */
static void
grow(const FmImporting *importing, Output *output)
{
	const FmHost *host = importing->host;
	size_t capacity = output->capacity == 0 ? STEP : 2 * output->capacity;
	unsigned char *data;

	if (output->capacity >= importing->limit)
		fm_import_fail(importing, "the file decompresses to more than %zu bytes", importing->limit);
	if (capacity > importing->limit)
		capacity = importing->limit;
	data = host->alloc(host->ctx, capacity, 1);
	if (output->length > 0)
		memcpy(data, output->data, output->length);
	host->release(host->ctx, output->data);
	output->data = data;
	output->capacity = capacity;
}

/* Decompress a step; return whether that was all of the stream. */
static bool
inflate_step(const FmImporting *importing, z_stream *stream, Output *output)
{
	size_t room;
	int status;

	importing->host->check_interrupts(importing->host->ctx);
	if (output->length == output->capacity)
		grow(importing, output);
	room = output->capacity - output->length;
	room = room < STEP ? room : STEP;
	stream->next_out = output->data + output->length;
	stream->avail_out = (uInt) room;
	status = inflate(stream, Z_NO_FLUSH);
	output->length += room - stream->avail_out;
	if (status != Z_OK && status != Z_STREAM_END)
		fm_import_fail(importing, "the compressed data are damaged: %s",
					   stream->msg != NULL ? stream->msg : "they end too early");
	return status == Z_STREAM_END;
}

static FmBytes
decompress(const FmImporting *importing, FmBytes bytes, int window)
{
	Output output = {0};
	z_stream stream = {.zalloc = zlib_alloc,
					   .zfree = zlib_free,
					   .opaque = (voidpf) importing->host,
					   .next_in = (Bytef *) bytes.data,
					   .avail_in = (uInt) bytes.length};

	if (bytes.length > UINT32_MAX)
		fm_import_fail(importing, "the compressed data have %zu bytes", bytes.length);
	if (inflateInit2(&stream, window) != Z_OK)
		fm_import_fail(importing, "zlib cannot decompress: %s",
					   stream.msg != NULL ? stream.msg : "it is of another version");
	while (!inflate_step(importing, &stream, &output))
		;
	inflateEnd(&stream);
	return (FmBytes){output.data, output.length};
}

FmBytes
fm_gunzip(const FmImporting *importing, FmBytes bytes)
{
	return decompress(importing, bytes, GZIP_WINDOW);
}

/* Return a number in octal digits, which blanks may precede and a blank or NUL ends. */
static uint64_t
octal(const FmImporting *importing, const unsigned char *digits, int size)
{
	uint64_t value = 0;
	int i = 0;

	while (i < size && digits[i] == ' ')
		i++;
	for (; i < size && digits[i] != ' ' && digits[i] != '\0'; i++)
	{
		if (digits[i] < '0' || digits[i] > '7')
			fm_import_fail(importing, "the tar has a header that is not one");
		value = value << 3 | (uint64_t) (digits[i] - '0');
	}
	return value;
}

/* Check the sum of a header, in which the sum itself counts as blanks. */
static void
check_tar_header(const FmImporting *importing, const unsigned char *header)
{
	uint64_t sum = 0;

	for (int i = 0; i < TAR_BLOCK; i++)
		sum += i >= 148 && i < 156 ? ' ' : header[i];
	if (sum != octal(importing, header + 148, 8))
		fm_import_fail(importing, "the tar has a header with a wrong sum");
}

/* Return what stands after the last slash of a name. */
static FmBytes
base_name(FmBytes name)
{
	for (size_t i = name.length; i-- > 0;)
		if (name.data[i] == '/')
			return fm_bytes_from(name, i + 1);
	return name;
}

FmBytes
fm_tar_member(const FmImporting *importing, FmBytes tar, const char *prefix)
{
	while (tar.length >= TAR_BLOCK && tar.data[0] != '\0')
	{
		const unsigned char *header = fm_take_bytes(importing, &tar, TAR_BLOCK).data;
		FmBytes name = {header, strnlen((const char *) header, 100)};
		bool is_file = header[156] == '0' || header[156] == '\0';
		uint64_t size;
		size_t rest;
		FmBytes member;

		check_tar_header(importing, header);
		size = octal(importing, header + 124, 12);
		member = fm_take_bytes(importing, &tar, size);
		if (is_file && fm_bytes_begin(base_name(name), prefix))
			return member;
		rest = (size_t) (-size % TAR_BLOCK);
		tar = fm_bytes_from(tar, rest < tar.length ? rest : tar.length);
	}
	fm_import_fail(importing, "the tar has no file that begins with \"%s\"", prefix);
}

/* Return where the record is that ends a ZIP: before a comment, if there is one. */
static FmBytes
zip_end(const FmImporting *importing, FmBytes zip)
{
	const size_t most = ZIP_END_SIZE + UINT16_MAX;

	for (size_t size = ZIP_END_SIZE; size <= zip.length && size <= most; size++)
	{
		FmBytes end = fm_bytes_from(zip, zip.length - size);

		if (fm_bytes_begin(end, ZIP_END))
			return end;
	}
	fm_import_fail(importing, "the ZIP has no directory");
}

/* Return the bytes of a member of which its entry in the directory is given. */
static FmBytes
zip_extract(const FmImporting *importing, FmBytes zip, const unsigned char *entry)
{
	int method = (int) fm_little_endian(entry + 10, 2);
	uint64_t packed = fm_little_endian(entry + 20, 4), size = fm_little_endian(entry + 24, 4);
	FmBytes rest = zip, member, local;

	(void) fm_take_bytes(importing, &rest, fm_little_endian(entry + 42, 4));
	local = fm_take_bytes(importing, &rest, ZIP_LOCAL_SIZE);
	if (!fm_bytes_begin(local, ZIP_MAGIC))
		fm_import_fail(importing, "the ZIP has a directory that leads to no member");
	(void) fm_take_bytes(importing, &rest, fm_little_endian(local.data + 26, 2));
	(void) fm_take_bytes(importing, &rest, fm_little_endian(local.data + 28, 2));
	member = fm_take_bytes(importing, &rest, packed);
	if ((fm_little_endian(entry + 8, 2) & ZIP_ENCRYPTED) != 0)
		fm_import_fail(importing, "the ZIP is encrypted");
	if (method != ZIP_STORED && method != ZIP_DEFLATED)
		fm_import_fail(importing, "the ZIP uses method %d, neither stored (0) nor deflated (8)",
					   method);
	if (size > importing->limit)
		fm_import_fail(importing, "the ZIP declares %llu bytes, more than %zu",
					   (unsigned long long) size, importing->limit);
	if (method == ZIP_DEFLATED)
		member = decompress(importing, member, RAW_WINDOW);
	if (member.length != size ||
		crc32_z(0, member.data, member.length) != fm_little_endian(entry + 16, 4))
		fm_import_fail(importing, "the ZIP has a member that is damaged: its sum is wrong");
	return member;
}

FmBytes
fm_zip_member(const FmImporting *importing, FmBytes zip, const char *name)
{
	const unsigned char *end = zip_end(importing, zip).data;
	uint64_t count = fm_little_endian(end + 10, 2);
	FmBytes directory = zip, found = {0};

	(void) fm_take_bytes(importing, &directory, fm_little_endian(end + 16, 4));
	for (uint64_t i = 0; i < count; i++)
	{
		FmBytes entry = fm_take_bytes(importing, &directory, ZIP_ENTRY_SIZE), path;

		if (!fm_bytes_begin(entry, ZIP_ENTRY))
			fm_import_fail(importing, "the ZIP has a directory that is damaged");
		path = fm_take_bytes(importing, &directory, fm_little_endian(entry.data + 28, 2));
		(void) fm_take_bytes(importing, &directory, fm_little_endian(entry.data + 30, 2));
		(void) fm_take_bytes(importing, &directory, fm_little_endian(entry.data + 32, 2));
		if (!fm_bytes_are(base_name(path), name))
			continue;
		if (found.data != NULL)
			fm_import_fail(importing, "the ZIP has several members \"%s\"", name);
		found = zip_extract(importing, zip, entry.data);
	}
	if (found.data == NULL)
		fm_import_fail(importing, "the ZIP has no member \"%s\"", name);
	return found;
}

/* Base64 in both directions, strict when reading. */
#include "base/base64.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_encode(struct strbuf *into, const void *data, size_t size)
{
	const uint8_t *in = data;

	int r = strbuf_reserve(into, (size / 3 + 1) * 4);
	if (r < 0)
		return r;
	for (size_t i = 0; i < size; i += 3) {
		uint32_t bits = (uint32_t)in[i] << 16;
		if (i + 1 < size)
			bits |= (uint32_t)in[i + 1] << 8;
		if (i + 2 < size)
			bits |= in[i + 2];
		char *out = into->data + into->size;
		out[0] = alphabet[bits >> 18];
		out[1] = alphabet[(bits >> 12) & 63];
		out[2] = '=';
		out[3] = '=';
		if (i + 1 < size)
			out[2] = alphabet[(bits >> 6) & 63];
		if (i + 2 < size)
			out[3] = alphabet[bits & 63];
		into->size += 4;
	}
	into->data[into->size] = '\0';
	return 0;
}

/* The six bits of a character, or -1. */
static int value_of(char c)
{
	const char *at = c == '\0' ? NULL : strchr(alphabet, c);

	return at == NULL ? -1 : (int)(at - alphabet);
}

int base64_decode(struct strbuf *into, const char *text, size_t size)
{
	size_t padding = 0;

	if (size % 4 != 0)
		return ERR_SYNTAX;
	while (padding < 2 && padding < size && text[size - 1 - padding] == '=')
		padding++;
	int r = strbuf_reserve(into, size / 4 * 3);
	if (r < 0)
		return r;
	char *out = into->data + into->size;
	for (size_t i = 0; i < size; i += 4) {
		uint32_t bits = 0;
		for (size_t k = 0; k < 4; k++) {
			bool is_padding = i + k >= size - padding;
			int value = is_padding ? 0 : value_of(text[i + k]);
			if (value < 0)
				return ERR_SYNTAX;
			bits = bits << 6 | (uint32_t)value;
		}
		*out++ = (char)(bits >> 16);
		*out++ = (char)(bits >> 8);
		*out++ = (char)bits;
	}
	into->size += size / 4 * 3 - padding;
	into->data[into->size] = '\0';
	return 0;
}

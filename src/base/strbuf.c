/* Growing strings, doubling as they grow. */
#include "base/strbuf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

void strbuf_init(struct strbuf *b)
{
	*b = (struct strbuf){0};
}

void strbuf_deinit(struct strbuf *b)
{
	free(b->data);
	strbuf_init(b);
}

void strbuf_clear(struct strbuf *b)
{
	b->size = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

int strbuf_reserve(struct strbuf *b, size_t size)
{
	size_t need;
	size_t capacity = b->capacity == 0 ? 64 : b->capacity;

	if (__builtin_add_overflow(b->size, size, &need) || need > SIZE_MAX / 4)
		return -ENOMEM;
	if (b->data != NULL && need < b->capacity)
		return 0;
	while (capacity <= need)
		capacity *= 2;
	char *data = realloc(b->data, capacity);
	if (data == NULL)
		return -ENOMEM;
	b->data = data;
	b->data[b->size] = '\0';
	b->capacity = capacity;
	return 0;
}

int strbuf_append(struct strbuf *b, const void *data, size_t size)
{
	int r = strbuf_reserve(b, size);

	if (r < 0)
		return r;
	memcpy(b->data + b->size, data, size);
	b->size += size;
	b->data[b->size] = '\0';
	return 0;
}

int strbuf_printf(struct strbuf *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (length < 0)
		return -EINVAL;
	int r = strbuf_reserve(b, (size_t)length);
	if (r < 0)
		return r;
	va_start(args, format);
	vsnprintf(b->data + b->size, b->capacity - b->size, format, args);
	va_end(args);
	b->size += (size_t)length;
	return 0;
}

char *strbuf_take(struct strbuf *b)
{
	char *data = b->data;

	strbuf_init(b);
	return data;
}

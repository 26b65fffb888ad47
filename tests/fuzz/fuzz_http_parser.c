/* Any bytes in place of an HTTP answer: fed whole and in two pieces (cut where
 * the first byte says) they tell the same, and the parser keeps its own rules. */
#include <string.h>

#include "base/check.h"
#include "base/strbuf.h"
#include "fuzz_target.h"
#include "net/http_parser.h"

struct outcome {
	struct strbuf told;
	int error;
	int finish;
	int status;
	bool keep_alive;
	size_t used;
};

static void on_header(const char *name, const char *value, void *arg)
{
	struct outcome *o = arg;

	CHECK(*name != '\0' && strpbrk(name, ": \t\r\n") == NULL);
	CHECK(strchr(value, '\n') == NULL);
	CHECK(strbuf_printf(&o->told, "\n%s:%s\n", name, value) == 0);
}

static int on_body(const char *data, size_t size, void *arg)
{
	struct outcome *o = arg;

	CHECK(size > 0);
	return strbuf_append(&o->told, data, size);
}

static const struct http_parser_ops ops = {.header = on_header, .body = on_body};

static void feed(struct http_parser *parser, struct outcome *o, const uint8_t *data, size_t size)
{
	size_t used = 0;

	if (o->error < 0 || http_parser_is_complete(parser))
		return;
	o->error = http_parser_feed(parser, (const char *)data, size, &used);
	CHECK(used <= size);
	CHECK(parser->line_size <= HTTP_LINE_SIZE);
	if (o->error == 0 && !http_parser_is_complete(parser))
		CHECK(used == size);
	o->used += used;
}

static void parse(struct outcome *o, const uint8_t *data, size_t size, size_t cut)
{
	static struct http_parser parser;

	http_parser_init(&parser, &ops, o);
	feed(&parser, o, data, cut);
	feed(&parser, o, data + cut, size - cut);
	if (http_parser_is_complete(&parser))
		CHECK(parser.status >= 200 && parser.status <= 999);
	o->finish = http_parser_finish(&parser);
	o->status = parser.status;
	o->keep_alive = parser.keep_alive;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole = {0};
	struct outcome cut = {0};

	if (size == 0)
		return 0;
	size_t at = data[0];
	data++;
	size--;
	parse(&whole, data, size, 0);
	parse(&cut, data, size, at < size ? at : size);
	CHECK(whole.error == cut.error);
	if (whole.error == 0) {
		CHECK(whole.finish == cut.finish && whole.status == cut.status);
		CHECK(whole.keep_alive == cut.keep_alive && whole.used == cut.used);
		CHECK(whole.told.size == cut.told.size);
		if (whole.told.size > 0)
			CHECK(memcmp(whole.told.data, cut.told.data, cut.told.size) == 0);
	}
	strbuf_deinit(&whole.told);
	strbuf_deinit(&cut.told);
	return 0;
}

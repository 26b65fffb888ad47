/* The servers of one store, and requests that any of them may answer, over TLS
 * where the URLs say https.
 *
 * A call goes to the server that answered last. Another one is asked as well as
 * soon as a server fails, and also when it is merely silent for a while, so that
 * none can hold a call up; the first decisive answer counts. A request may thus
 * be carried out twice: callers send only what bears that. Loop thread. */
#ifndef PGSPLICE_STORE_ENDPOINTS_H
#define PGSPLICE_STORE_ENDPOINTS_H

#include "net/http_client.h"
#include "net/url.h"
#include "store/store.h"

/* The longest answer taken: etcd's own limit for a value is 1.5 MB, base64 and
 * JSON around it. */
#define ENDPOINTS_MAX_BODY  (8 * 1024 * 1024)
#define ENDPOINTS_TEXT_SIZE 400

struct endpoints;
struct endpoints_call;

struct endpoints_reply {
	int status;
	const char *body; /* terminated */
	size_t size;
	const char *index; /* value of index_header; "" if absent */
	size_t endpoint;
};

struct endpoints_ops {
	/* False: ask another server, this one cannot tell. */
	bool (*is_decisive)(const struct endpoints_reply *reply, void *arg);
	/* The end; the call is gone. error < 0: no decisive answer in time, text
	 * says what each server did. */
	void (*done)(int error, const char *text, const struct endpoints_reply *reply, void *arg);
};

struct endpoints_request {
	struct http_call http;    /* timeout_ms is for the whole call; streams is false */
	const char *index_header; /* NULL, or a header whose value is wanted */
	int only;                 /* -1, or the one server to ask */
};

/* Of the settings those count that say where the servers are and how TLS is
 * spoken; endpoints: comma separated URLs. Returns 0 or a negative error with
 * *ret_problem. */
MUST_CHECK int endpoints_new(struct loop *loop, struct dns *dns,
			     const struct store_settings *settings, uint16_t default_port,
			     struct endpoints **ret_endpoints, const char **ret_problem);
/* Cancels its calls without callbacks. Accepts NULL. */
void endpoints_free(struct endpoints **endpoints);

size_t endpoints_count(const struct endpoints *endpoints);
/* "http://host:port" */
const char *endpoints_name(const struct endpoints *endpoints, size_t index);
const struct url *endpoints_url(const struct endpoints *endpoints, size_t index);
/* For streams, which a caller keeps on one server. */
struct http_client *endpoints_client(struct endpoints *endpoints, size_t index);
/* The one that answered last. */
size_t endpoints_current(const struct endpoints *endpoints);
/* What that one answered was of no use: the next call begins with another. */
void endpoints_avoid(struct endpoints *endpoints, size_t index);

/* The account: from the options, else from the first URL that has one. */
struct endpoints_account {
	const char *user;     /* NULL: none */
	const char *password; /* never NULL with a user */
};
struct endpoints_account endpoints_account(const struct endpoints *endpoints,
					   const struct store_settings *settings);

/* Everything in request is copied. Callbacks run from the loop. */
MUST_CHECK int endpoints_call_start(struct endpoints *endpoints,
				    const struct endpoints_request *request,
				    const struct endpoints_ops *ops, void *arg,
				    struct endpoints_call **ret_call);
void endpoints_call_cancel(struct endpoints_call **call);

#endif

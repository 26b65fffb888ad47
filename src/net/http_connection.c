/* A connection is a bufferevent that may stay for the next request. */
#include "http_connection.h"

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/ssl.h>

#define MAX_IDLE    2
#define BEV_OPTIONS (BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS)

void connection_free(struct connection **connection)
{
	struct connection *c = TAKE_PTR(*connection);

	if (c == NULL)
		return;
	list_remove(&c->node);
	if (c->bev != NULL) {
		/* As if it had ended properly: else its session is not resumed. */
		SSL *ssl = bufferevent_openssl_get_ssl(c->bev);
		if (ssl != NULL)
			SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		bufferevent_free(c->bev);
	}
	free(c);
}

static struct bufferevent *new_tls_bufferevent(struct loop *loop, struct tls_peer *peer,
					       char text[static TLS_TEXT_SIZE])
{
	SSL *ssl;

	if (tls_peer_connect(peer, &ssl, text) < 0)
		return NULL;
	struct bufferevent *bev = bufferevent_openssl_socket_new(
		loop->base, -1, ssl, BUFFEREVENT_SSL_CONNECTING, BEV_OPTIONS);
	if (bev == NULL)
		SSL_free(ssl);
	else
		bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	return bev;
}

struct connection *connection_new(struct loop *loop, struct tls_peer *peer,
				  char text[static TLS_TEXT_SIZE])
{
	struct connection *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	list_init(&c->node);
	c->bev = peer != NULL ? new_tls_bufferevent(loop, peer, text)
			      : bufferevent_socket_new(loop->base, -1, BEV_OPTIONS);
	if (c->bev == NULL)
		connection_free(&c);
	return c;
}

static void on_idle_event(struct bufferevent *bev, short what, void *arg)
{
	struct connection *c = arg;

	connection_free(&c);
}

static void on_idle_read(struct bufferevent *bev, void *arg)
{
	struct connection *c = arg; /* nobody has asked: it is out of step */

	connection_free(&c);
}

void connection_keep(struct connection **connection, struct list *idle)
{
	size_t count = 0;

	list_for_each (node, idle)
		count++;
	if (count >= MAX_IDLE || evbuffer_get_length(bufferevent_get_input((*connection)->bev)) > 0)
		return;
	struct connection *c = TAKE_PTR(*connection);
	list_append(idle, &c->node);
	bufferevent_setcb(c->bev, on_idle_read, NULL, on_idle_event, c);
}

void connections_close(struct list *idle)
{
	list_for_each_safe (node, idle) {
		struct connection *c = CONTAINER_OF(node, struct connection, node);
		connection_free(&c);
	}
}

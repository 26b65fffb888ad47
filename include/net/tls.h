/* TLS of outgoing connections: one context for all of them, made from files
 * that may be replaced while we run. Loop thread.
 *
 * The server must prove the name or address it was asked by; TLS 1.2 at least. */
#ifndef PGSPLICE_NET_TLS_H
#define PGSPLICE_NET_TLS_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

#define TLS_TEXT_SIZE 300

struct tls_settings {
	const char *ca_file;   /* PEM, one or several; NULL: the system's roots */
	const char *cert_file; /* of ourselves; used only together with key_file */
	const char *key_file;
	bool skip_verify; /* take whatever certificate the server shows */
};

struct tls;

/* Whether the files can be used now. Returns 0, or a negative error with a text
 * that names the file at fault. */
MUST_CHECK int tls_check_files(const struct tls_settings *settings,
			       char text[static TLS_TEXT_SIZE]);

/* Copies the settings; warns of those that weaken or say nothing. Files that
 * cannot be used are no error yet: they may come. */
MUST_CHECK int tls_new(const struct tls_settings *settings, struct tls **ret_tls);
/* Its connections must be gone. Accepts NULL. */
void tls_free(struct tls **tls);

/* Reads files that have changed. What cannot be used is logged once, and the
 * files read before stay in use. */
void tls_refresh(struct tls *tls);
/* Rises when other files are in use than before. */
unsigned tls_generation(const struct tls *tls);

/* What connections to one server share: its name and the session to resume. */
struct tls_peer;

/* host: name or IP literal, which its certificate has to be for. */
MUST_CHECK int tls_peer_new(struct tls *tls, const char *host, struct tls_peer **ret_peer);
void tls_peer_free(struct tls_peer **peer);

/* A new client side of a connection, not yet tied to a socket; with files as
 * they are now. The peer must outlive it. On failure text names the file. */
MUST_CHECK int tls_peer_connect(struct tls_peer *peer, SSL **ret_ssl,
				char text[static TLS_TEXT_SIZE]);

/* Why a handshake or a connection failed; error is OpenSSL's, 0 if it had none.
 * False if it was no matter of TLS. */
bool tls_describe_failure(struct tls_peer *peer, const SSL *ssl, unsigned long error,
			  char text[static TLS_TEXT_SIZE]);

/* The same for a connection that ended just after its handshake, with the reason
 * lost on the way (a reset overtakes the alert): what the server is likely to
 * want. */
void tls_describe_early_end(const struct tls_peer *peer, char text[static TLS_TEXT_SIZE]);
/* The server has answered a request: it takes our certificate, or needs none. */
void tls_peer_was_accepted(struct tls_peer *peer);

#endif

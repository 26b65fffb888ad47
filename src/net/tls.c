/* TLS contexts and the client sides of connections, on OpenSSL 3.
 *
 * Files are looked at (stat) before each connection and whenever the owner asks;
 * a change makes a new context, and what was wrong with it is said once. Each
 * server has its last session kept, so that most handshakes are short. */
#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "net/addr.h"

/* A resumed session is not checked again: for how long one check is good. */
#define SESSION_LIFE_MS (10 * 60 * MS_PER_S)
#define FILES           3

struct file_state {
	bool exists;
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified;
};

struct tls {
	struct tls_settings settings; /* its texts are owned */
	SSL_CTX *context;             /* NULL: no files could be used yet */
	unsigned generation;
	bool was_tried; /* the files as `seen` */
	struct file_state seen[FILES];
	char problem[TLS_TEXT_SIZE]; /* with these files; "" if none */
};

struct tls_peer {
	struct tls *tls;
	char *host; /* without a zone or the last dot */
	bool is_ip;
	SSL_SESSION *session;        /* NULL: none to resume */
	int64_t session_ms;          /* when its full handshake was */
	unsigned generation;         /* of the files that handshake was checked by */
	char refusal[TLS_TEXT_SIZE]; /* what it said of our certificate last; "" */
};

/* Contexts */

static const char *last_reason(void)
{
	unsigned long error = ERR_peek_last_error();
	const char *text = NULL;

	if (ERR_SYSTEM_ERROR(error))
		text = err_text(-ERR_GET_REASON(error));
	else if (error != 0)
		text = ERR_reason_error_string(error);
	if (ERR_GET_REASON(error) == ERR_R_PEM_LIB)
		text = "there is no certificate in it";
	ERR_clear_error();
	return text != NULL ? text : "unknown error";
}

static int refuse(char text[static TLS_TEXT_SIZE], const char *what, const char *path)
{
	snprintf(text, TLS_TEXT_SIZE, "%s %.150s: %s", what, path, last_reason());
	return -EINVAL;
}

/* OpenSSL says "no start line" of a file without PEM, and "no such file" in
 * words of its own: a plain look comes first. */
static int check_readable(char text[static TLS_TEXT_SIZE], const char *what, const char *path)
{
	FILE *file = fopen(path, "re");
	int error = file == NULL ? -errno : 0;

	if (file != NULL && fgetc(file) == EOF)
		error = ferror(file) ? -errno : -ENODATA;
	if (file != NULL)
		fclose(file);
	if (error < 0)
		snprintf(text, TLS_TEXT_SIZE, "%s %.150s: %s", what, path,
			 error == -ENODATA ? "the file is empty" : err_text(error));
	return error;
}

static int no_passphrase(char *buffer, int size, int for_writing, void *arg)
{
	*(bool *)arg = true;
	return -1; /* nobody is there to be asked */
}

/* OpenSSL's reasons for a key that it cannot read say little. */
static int refuse_key(const struct tls_settings *s, bool is_encrypted,
		      char text[static TLS_TEXT_SIZE])
{
	unsigned long error = ERR_peek_last_error();
	int library = ERR_GET_LIB(error);

	ERR_clear_error();
	if (library == ERR_LIB_X509 ||
	    (library == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_NO_CERTIFICATE_ASSIGNED))
		snprintf(text, TLS_TEXT_SIZE,
			 "key file %.120s does not belong to certificate file %.120s", s->key_file,
			 s->cert_file);
	else
		snprintf(text, TLS_TEXT_SIZE, "key file %.150s: %s", s->key_file,
			 is_encrypted ? "it needs a passphrase, which nobody can give"
				      : "there is no private key in it");
	return -EINVAL;
}

static int load_certificate(SSL_CTX *context, const struct tls_settings *s,
			    char text[static TLS_TEXT_SIZE])
{
	int r = check_readable(text, "certificate file", s->cert_file);

	if (r == 0)
		r = check_readable(text, "key file", s->key_file);
	if (r < 0)
		return r;
	if (SSL_CTX_use_certificate_chain_file(context, s->cert_file) != 1)
		return refuse(text, "certificate file", s->cert_file);
	ERR_clear_error();
	bool is_encrypted = false;
	SSL_CTX_set_default_passwd_cb(context, no_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(context, &is_encrypted);
	bool is_good = SSL_CTX_use_PrivateKey_file(context, s->key_file, SSL_FILETYPE_PEM) == 1 &&
		       SSL_CTX_check_private_key(context) == 1;
	SSL_CTX_set_default_passwd_cb(context, NULL);
	SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
	return is_good ? 0 : refuse_key(s, is_encrypted, text);
}

static int load_roots(SSL_CTX *context, const struct tls_settings *s,
		      char text[static TLS_TEXT_SIZE])
{
	if (s->ca_file == NULL)
		return SSL_CTX_set_default_verify_paths(context) == 1
			       ? 0
			       : refuse(text, "system certificates", "");
	int r = check_readable(text, "CA file", s->ca_file);
	if (r == 0 && SSL_CTX_load_verify_file(context, s->ca_file) != 1)
		r = refuse(text, "CA file", s->ca_file);
	return r;
}

static int on_new_session(SSL *ssl, SSL_SESSION *session);

static int make_context(const struct tls_settings *s, SSL_CTX **ret_context,
			char text[static TLS_TEXT_SIZE])
{
	ERR_clear_error();
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	int r = 0;

	snprintf(text, TLS_TEXT_SIZE, "no memory for TLS");
	if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
		r = -ENOMEM;
	if (r == 0) {
		SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
		/* HTTP has its own ends; many servers just close. */
		SSL_CTX_set_options(context,
				    SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION);
		SSL_CTX_set_session_cache_mode(context,
					       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(context, on_new_session);
		SSL_CTX_set_verify(context, s->skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
				   NULL);
		r = load_roots(context, s, text);
	}
	if (r == 0 && s->cert_file != NULL && s->key_file != NULL)
		r = load_certificate(context, s, text);
	if (r < 0) {
		SSL_CTX_free(context);
		return r;
	}
	*ret_context = context;
	return 0;
}

int tls_check_files(const struct tls_settings *settings, char text[static TLS_TEXT_SIZE])
{
	SSL_CTX *context;

	int r = make_context(settings, &context, text);
	if (r == 0)
		SSL_CTX_free(context);
	return r;
}

/* Files */

static struct file_state look_at(const char *path)
{
	struct stat st;

	if (path == NULL || stat(path, &st) < 0)
		return (struct file_state){0};
	return (struct file_state){true, st.st_dev, st.st_ino, st.st_size, st.st_mtim};
}

static bool is_same_file(const struct file_state *a, const struct file_state *b)
{
	return a->exists == b->exists && a->device == b->device && a->inode == b->inode &&
	       a->size == b->size && a->modified.tv_sec == b->modified.tv_sec &&
	       a->modified.tv_nsec == b->modified.tv_nsec;
}

/* True if the files are not those that were read last. They are looked at before
 * they are read: what changes meanwhile is seen the next time. */
static bool have_changed(struct tls *tls)
{
	const char *paths[FILES] = {tls->settings.ca_file, tls->settings.cert_file,
				    tls->settings.key_file};
	bool changed = !tls->was_tried;

	for (size_t i = 0; i < FILES; i++) {
		struct file_state now = look_at(paths[i]);
		changed = changed || !is_same_file(&now, &tls->seen[i]);
		tls->seen[i] = now;
	}
	tls->was_tried = true;
	return changed;
}

void tls_refresh(struct tls *tls)
{
	SSL_CTX *context;

	if (!have_changed(tls))
		return;
	if (make_context(&tls->settings, &context, tls->problem) < 0) {
		/* Without any context each connection fails with this text. */
		if (tls->context != NULL)
			log_warn("tls: changed files cannot be used, those before stay in use",
				 log_text("error", tls->problem));
		return;
	}
	tls->problem[0] = '\0';
	if (tls->context != NULL)
		log_info("tls: changed files are in use now");
	SSL_CTX_free(tls->context);
	tls->context = context;
	tls->generation++;
}

unsigned tls_generation(const struct tls *tls)
{
	return tls->generation;
}

static int copy_text(const char *from, const char **ret)
{
	*ret = from != NULL ? strdup(from) : NULL;
	return from != NULL && *ret == NULL ? -ENOMEM : 0;
}

int tls_new(const struct tls_settings *settings, struct tls **ret_tls)
{
	struct tls *tls = calloc(1, sizeof(*tls));

	if (tls == NULL)
		return -ENOMEM;
	struct tls_settings *s = &tls->settings;
	s->skip_verify = settings->skip_verify;
	if (copy_text(settings->ca_file, &s->ca_file) < 0 ||
	    copy_text(settings->cert_file, &s->cert_file) < 0 ||
	    copy_text(settings->key_file, &s->key_file) < 0) {
		tls_free(&tls);
		return -ENOMEM;
	}
	if (s->skip_verify)
		log_warn("tls: the server's certificate is not checked, anybody in between can "
			 "read and change everything");
	if ((s->cert_file == NULL) != (s->key_file == NULL))
		log_warn("tls: a certificate and its key are used only together",
			 log_text("certificate", s->cert_file), log_text("key", s->key_file));
	tls_refresh(tls);
	*ret_tls = tls;
	return 0;
}

void tls_free(struct tls **tls)
{
	struct tls *t = TAKE_PTR(*tls);

	if (t == NULL)
		return;
	SSL_CTX_free(t->context);
	free((void *)(uintptr_t)t->settings.ca_file);
	free((void *)(uintptr_t)t->settings.cert_file);
	free((void *)(uintptr_t)t->settings.key_file);
	free(t);
}

/* Peers */

int tls_peer_new(struct tls *tls, const char *host, struct tls_peer **ret_peer)
{
	struct tls_peer *p = calloc(1, sizeof(*p));
	struct addr addr;

	if (p == NULL)
		return -ENOMEM;
	p->tls = tls;
	p->is_ip = addr_parse_ip(host, 0, &addr) == 0;
	size_t length = p->is_ip ? strcspn(host, "%") : strlen(host);
	if (!p->is_ip && length > 1 && host[length - 1] == '.')
		length--;
	p->host = strndup(host, length);
	if (p->host == NULL) {
		free(p);
		return -ENOMEM;
	}
	*ret_peer = p;
	return 0;
}

static void drop_session(struct tls_peer *p)
{
	SSL_SESSION_free(p->session);
	p->session = NULL;
}

void tls_peer_free(struct tls_peer **peer)
{
	struct tls_peer *p = TAKE_PTR(*peer);

	if (p == NULL)
		return;
	drop_session(p);
	free(p->host);
	free(p);
}

/* A ticket that came with a resumed session stands on the same old check. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_peer *p = SSL_get_app_data(ssl);

	if (SSL_get_SSL_CTX(ssl) != p->tls->context)
		return 0; /* made with files that are not in use any more */
	if (!SSL_session_reused(ssl))
		p->session_ms = clock_boot_ms();
	p->generation = p->tls->generation;
	drop_session(p);
	p->session = session;
	return 1; /* kept */
}

static bool tie(struct tls_peer *p, SSL *ssl)
{
	X509_VERIFY_PARAM *check = SSL_get0_param(ssl);

	SSL_set_app_data(ssl, p);
	SSL_set_connect_state(ssl);
	/* As Go does: the names of the extension count, never the subject. */
	X509_VERIFY_PARAM_set_hostflags(check, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
						       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (p->is_ip)
		return X509_VERIFY_PARAM_set1_ip_asc(check, p->host) == 1;
	return X509_VERIFY_PARAM_set1_host(check, p->host, 0) == 1 &&
	       SSL_set_tlsext_host_name(ssl, p->host) == 1;
}

int tls_peer_connect(struct tls_peer *peer, SSL **ret_ssl, char text[static TLS_TEXT_SIZE])
{
	struct tls *tls = peer->tls;

	tls_refresh(tls);
	if (tls->context == NULL) {
		snprintf(text, TLS_TEXT_SIZE, "%s", tls->problem);
		return -EINVAL;
	}
	if (peer->generation != tls->generation ||
	    clock_boot_ms() - peer->session_ms > SESSION_LIFE_MS)
		drop_session(peer);
	SSL *ssl = SSL_new(tls->context);
	bool is_ready = ssl != NULL && tie(peer, ssl);
	if (is_ready && peer->session != NULL)
		is_ready = SSL_set_session(ssl, peer->session) == 1;
	if (!is_ready) {
		snprintf(text, TLS_TEXT_SIZE, "TLS: %s", last_reason());
		SSL_free(ssl);
		return -ENOMEM;
	}
	*ret_ssl = ssl;
	return 0;
}

/* Failures */

static bool describe_certificate(const struct tls_peer *p, const SSL *ssl,
				 char text[static TLS_TEXT_SIZE])
{
	long result = SSL_get_verify_result(ssl);
	const struct tls_settings *s = &p->tls->settings;

	if (result == X509_V_OK || s->skip_verify)
		return false;
	switch (result) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		snprintf(text, TLS_TEXT_SIZE, "the server's certificate is not for %.200s",
			 p->host);
		return true;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		snprintf(text, TLS_TEXT_SIZE,
			 "the server's certificate is not signed by anybody in %.150s (%s)",
			 s->ca_file != NULL ? s->ca_file : "the system's certificates",
			 X509_verify_cert_error_string(result));
		return true;
	default:
		snprintf(text, TLS_TEXT_SIZE, "the server's certificate cannot be accepted: %s",
			 X509_verify_cert_error_string(result));
		return true;
	}
}

bool tls_describe_failure(struct tls_peer *peer, const SSL *ssl, unsigned long error,
			  char text[static TLS_TEXT_SIZE])
{
	const struct tls_settings *s = &peer->tls->settings;
	int reason = ERR_GET_REASON(error);

	if (describe_certificate(peer, ssl, text))
		return true;
	/* libevent gives SSL_ERROR_SYSCALL for what has no reason of OpenSSL's. */
	if (ERR_SYSTEM_ERROR(error) || ERR_GET_LIB(error) == 0)
		return false;
	const char *why = ERR_reason_error_string(error);
	/* Alerts are numbered from SSL_AD_REASON_OFFSET; those about certificates
	 * are what the server thinks of ours. */
	bool is_about_ours = ERR_GET_LIB(error) == ERR_LIB_SSL &&
			     (reason == SSL_AD_REASON_OFFSET + SSL3_AD_HANDSHAKE_FAILURE ||
			      (reason >= SSL_AD_REASON_OFFSET + SSL3_AD_BAD_CERTIFICATE &&
			       reason <= SSL_AD_REASON_OFFSET + TLS1_AD_UNKNOWN_CA) ||
			      reason == SSL_AD_REASON_OFFSET + TLS13_AD_CERTIFICATE_REQUIRED);
	if (is_about_ours && s->cert_file != NULL && s->key_file != NULL)
		snprintf(text, TLS_TEXT_SIZE,
			 "the server does not accept certificate file %.150s: %s", s->cert_file,
			 why);
	else if (is_about_ours)
		snprintf(text, TLS_TEXT_SIZE, "the server wants a client certificate: %s", why);
	else if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST)
		snprintf(text, TLS_TEXT_SIZE, "the server does not speak TLS: %s", why);
	else
		snprintf(text, TLS_TEXT_SIZE, "TLS: %s", why != NULL ? why : "failed");
	if (is_about_ours)
		memcpy(peer->refusal, text, TLS_TEXT_SIZE);
	return true;
}

void tls_describe_early_end(const struct tls_peer *peer, char text[static TLS_TEXT_SIZE])
{
	const struct tls_settings *s = &peer->tls->settings;

	if (*peer->refusal != '\0')
		memcpy(text, peer->refusal, TLS_TEXT_SIZE);
	else if (s->cert_file != NULL && s->key_file != NULL)
		snprintf(text, TLS_TEXT_SIZE,
			 "the server ended it, perhaps since it does not accept certificate file "
			 "%.150s",
			 s->cert_file);
	else
		snprintf(text, TLS_TEXT_SIZE,
			 "the server ended it, perhaps since it wants a client certificate");
}

void tls_peer_was_accepted(struct tls_peer *peer)
{
	*peer->refusal = '\0';
}

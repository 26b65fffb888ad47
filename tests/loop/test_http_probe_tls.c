/* probe/http_probe over TLS: a Patroni whose certificate is right, wrong, or replaced. */
#include "rig.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "probe/http_probe.h"

#define PATH_SIZE 100
#define PRIMARY   "{\"state\":\"running\",\"role\":\"primary\",\"timeline\":4}"

struct stand {
	struct rig *rig;
	struct dns *dns;
	struct tls *tls;
	struct http_probe *probe;
	struct probe_result result;
	unsigned answered;
	char folder[PATH_SIZE];
	char ca_file[PATH_SIZE]; /* the server's own certificate, which is its authority */
	char other_file[PATH_SIZE];
	char cert_file[PATH_SIZE]; /* a client's */
	char key_file[PATH_SIZE];
	/* The server, which the conditions of the loop keep going. */
	SSL_CTX *context;
	SSL *ssl;
	int fd;
	unsigned accepted;
};

static const struct dns_settings dns_settings = {.max_ttl_ms = 30000};

/* Certificates */

static void add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(extension);
	assert_int_equal(X509_add_ext(cert, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

/* One that is its own authority, for 127.0.0.1. */
static X509 *make_certificate(const char *name, EVP_PKEY **ret_key)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	assert_true(key != NULL && cert != NULL);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_set_pubkey(cert, key);
	add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(cert, NID_subject_alt_name, "IP:127.0.0.1");
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	*ret_key = key;
	return cert;
}

static void write_files(const char *cert_file, X509 *cert, const char *key_file, EVP_PKEY *key)
{
	FILE *file = fopen(cert_file, "we");

	assert_non_null(file);
	assert_int_equal(PEM_write_X509(file, cert), 1);
	fclose(file);
	if (key_file == NULL)
		return;
	file = fopen(key_file, "we");
	assert_non_null(file);
	assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(file);
}

static void make_files(struct stand *s)
{
	EVP_PKEY *key;
	X509 *cert = make_certificate("server", &key);

	s->context = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(s->context, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(s->context, key), 1);
	write_files(s->ca_file, cert, NULL, NULL);
	X509_free(cert);
	EVP_PKEY_free(key);
	cert = make_certificate("other", &key);
	write_files(s->other_file, cert, NULL, NULL);
	X509_free(cert);
	EVP_PKEY_free(key);
	cert = make_certificate("client", &key);
	write_files(s->cert_file, cert, s->key_file, key);
	assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(s->context), cert), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* The server */

static void hang_up(struct stand *s)
{
	SSL_free(s->ssl);
	s->ssl = NULL;
	close_fd(&s->fd);
}

static void accept_client(struct stand *s)
{
	struct pollfd p = {.fd = s->rig->listener, .events = POLLIN};

	if (poll(&p, 1, 0) != 1)
		return;
	hang_up(s);
	s->fd = accept4(s->rig->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(s->fd >= 0);
	s->ssl = SSL_new(s->context);
	SSL_set_fd(s->ssl, s->fd);
	SSL_set_accept_state(s->ssl);
	s->accepted++;
}

static void answer(struct stand *s)
{
	char text[1000];
	int got = SSL_read(s->ssl, text, sizeof(text) - 1);

	if (got <= 0)
		return;
	text[got] = '\0';
	assert_non_null(strstr(text, "GET /patroni HTTP/1.1\r\n"));
	int size = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
			    strlen(PRIMARY), PRIMARY);
	assert_int_equal(SSL_write(s->ssl, text, size), size);
}

/* A condition: goes on serving until the probe has its answer. */
static bool serve(void *arg)
{
	struct stand *s = arg;

	accept_client(s);
	if (s->ssl != NULL && SSL_do_handshake(s->ssl) == 1)
		answer(s);
	return s->answered > 0;
}

/* The probe */

static void on_answered(const struct probe_result *result, void *arg)
{
	struct stand *s = arg;

	s->answered++;
	s->result = *result;
}

static void make_probe(struct stand *s, const struct tls_settings *settings)
{
	const struct http_probe_settings probe = {HTTP_PROBE_PATRONI, 3000};

	http_probe_free(&s->probe);
	tls_free(&s->tls);
	assert_int_equal(tls_new(settings, &s->tls), 0);
	assert_int_equal(http_probe_new(&s->rig->loop, s->dns, &probe, on_answered, s, &s->probe),
			 0);
	assert_int_equal(
		http_probe_set_server(s->probe, "127.0.0.1", addr_port(&s->rig->server), s->tls),
		0);
}

static void expect(struct stand *s, enum probe_outcome outcome, const char *text)
{
	s->answered = 0;
	http_probe_ask(s->probe);
	rig_run_until(s->rig, serve, s);
	if (s->result.outcome != outcome || strstr(s->result.text, text) == NULL)
		fail_msg("%s: %s", probe_outcome_name(s->result.outcome), s->result.text);
}

static void name_file(const struct stand *s, char path[static PATH_SIZE], const char *name)
{
	snprintf(path, PATH_SIZE, "%.60s/%s", s->folder, name);
}

static int setup(void **state)
{
	struct stand *s = calloc(1, sizeof(*s));

	s->fd = -1;
	assert_int_equal(rig_setup((void **)&s->rig), 0);
	assert_int_equal(dns_open(&s->rig->loop, &dns_settings, &s->dns), 0);
	snprintf(s->folder, sizeof(s->folder), "/tmp/pgsplice-tls-XXXXXX");
	assert_non_null(mkdtemp(s->folder));
	name_file(s, s->ca_file, "ca.pem");
	name_file(s, s->other_file, "other.pem");
	name_file(s, s->cert_file, "client.pem");
	name_file(s, s->key_file, "client.key");
	make_files(s);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct stand *s = *state;

	http_probe_free(&s->probe);
	tls_free(&s->tls);
	hang_up(s);
	SSL_CTX_free(s->context);
	unlink(s->ca_file);
	unlink(s->other_file);
	unlink(s->cert_file);
	unlink(s->key_file);
	rmdir(s->folder);
	dns_close(&s->dns);
	rig_teardown((void **)&s->rig);
	free(s);
	return 0;
}

static void test_who_shows_the_right_certificate_is_believed(void **state)
{
	struct stand *s = *state;

	make_probe(s, &(struct tls_settings){.ca_file = s->ca_file});
	expect(s, PROBE_WRITABLE, "");
	assert_int_equal(s->result.timeline, 4);
	expect(s, PROBE_WRITABLE, "");
	assert_int_equal(s->accepted, 1); /* over the same connection */
	hang_up(s);
	expect(s, PROBE_WRITABLE, "");
	assert_int_equal(s->accepted, 2);
}

/* That is no proof that the server is down, nor that it is there. */
static void test_who_shows_another_one_is_not(void **state)
{
	struct stand *s = *state;

	make_probe(s, &(struct tls_settings){.ca_file = s->other_file});
	expect(s, PROBE_ERROR, "not signed by anybody in ");
	assert_non_null(strstr(s->result.text, s->other_file));
	assert_int_equal(probe_outcome_verdict(s->result.outcome), PROBE_UNSURE);
	make_probe(s, &(struct tls_settings){0});
	expect(s, PROBE_ERROR, "not signed by anybody in the system's certificates");
	make_probe(s, &(struct tls_settings){.skip_verify = true});
	expect(s, PROBE_WRITABLE, "");
}

static void test_files_that_are_replaced_count_from_the_next_question_on(void **state)
{
	struct stand *s = *state;
	char missing[PATH_SIZE];

	name_file(s, missing, "none.pem");
	make_probe(s, &(struct tls_settings){.ca_file = missing});
	expect(s, PROBE_ERROR, missing);
	assert_int_equal(s->accepted, 0);
	assert_int_equal(rename(s->other_file, missing), 0);
	expect(s, PROBE_ERROR, "not signed by anybody in ");
	assert_int_equal(rename(s->ca_file, missing), 0);
	expect(s, PROBE_WRITABLE, "");
	assert_int_equal(rename(missing, s->ca_file), 0);
	expect(s, PROBE_WRITABLE, ""); /* those read before stay in use */
}

static void test_our_own_certificate_is_shown(void **state)
{
	struct stand *s = *state;

	SSL_CTX_set_verify(s->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	make_probe(s, &(struct tls_settings){.ca_file = s->ca_file});
	expect(s, PROBE_ERROR, "wants a client certificate");
	make_probe(s, &(struct tls_settings){.ca_file = s->ca_file,
					     .cert_file = s->cert_file,
					     .key_file = s->key_file});
	expect(s, PROBE_WRITABLE, "");
}

static void test_in_the_clear_or_over_tls_is_another_server(void **state)
{
	struct stand *s = *state;

	make_probe(s, &(struct tls_settings){.ca_file = s->ca_file});
	expect(s, PROBE_WRITABLE, "");
	assert_int_equal(
		http_probe_set_server(s->probe, "127.0.0.1", addr_port(&s->rig->server), NULL), 0);
	s->answered = 0;
	http_probe_ask(s->probe);
	rig_run_until(s->rig, serve, s);
	assert_true(s->result.outcome != PROBE_WRITABLE);
	assert_int_equal(s->accepted, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_who_shows_the_right_certificate_is_believed),
		TEST(test_who_shows_another_one_is_not),
		TEST(test_files_that_are_replaced_count_from_the_next_question_on),
		TEST(test_our_own_certificate_is_shown),
		TEST(test_in_the_clear_or_over_tls_is_another_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

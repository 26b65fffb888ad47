/* What etcd.c, etcd_request.c and etcd_watch.c share: the v3 store and one
 * request of it. Loop thread. */
#ifndef PGSPLICE_STORE_ETCD_PRIVATE_H
#define PGSPLICE_STORE_ETCD_PRIVATE_H

#include "endpoints.h"
#include "etcd_json.h"
#include "listing.h"
#include "store_private.h"

/* What is known of the one key that is put: our proxy info. */
struct etcd_owned {
	char *key;        /* NULL: nothing was put yet */
	int64_t revision; /* its mod_revision as last seen; 0: no key */
	int64_t lease;    /* 0: none */
	int64_t ttl_s;    /* of the lease, as granted */
};

struct etcd_store {
	struct store base;
	struct loop *loop;
	struct endpoints *endpoints;
	int64_t timeout_ms;
	bool is_3_3; /* its gateway lives under another prefix */
	char *user;  /* NULL: no account */
	char *password;
	char *token;         /* NULL: none, or the store has no accounts */
	uint64_t cluster_id; /* 0: not known yet */
	/* How often another cluster took this one's place: the high bits of the
	 * revisions given out, since those of a new cluster start again. */
	unsigned epoch;
	int64_t highest; /* revision seen of this cluster */
	struct list requests;
	struct list surveys; /* requests too: what each endpoint says */
	struct etcd_owned owned;
};

enum etcd_kind {
	ETCD_READ,
	ETCD_PUT,
	ETCD_DELETE,
	ETCD_REFRESH, /* of the lease; nobody waits for it */
	ETCD_SURVEY,  /* which cluster is behind one endpoint? */
};

/* A request is one or several calls in a row. */
enum etcd_step {
	ETCD_STEP_AUTHENTICATE,
	ETCD_STEP_RANGE,
	ETCD_STEP_GRANT,
	ETCD_STEP_PUT,
	ETCD_STEP_KEEPALIVE,
	ETCD_STEP_REVOKE,
	ETCD_STEP_DELETE,
};

struct etcd_request {
	struct store_request base;
	struct list node;
	struct etcd_store *store;
	enum etcd_kind kind;
	enum etcd_step step;
	enum etcd_step after_authentication;
	int endpoint; /* -1: any */
	struct strbuf data;
	int64_t ttl_s;
	int64_t deadline_ms; /* clock_boot_ms() */
	int64_t highest;     /* of the store when this call was sent */
	unsigned retries;    /* of whatever kind, together */
	bool ended;          /* a survey's part, kept until all have */
	bool no_such_path;   /* somebody said so, nobody did better */
	bool other_prefix;   /* that was tried, too */
	struct endpoints_call *call;
	struct etcd_header header; /* of the last answer */
	struct etcd_kvs kvs;       /* of that of a range */
};

/* Starts a request; call: with its key and callbacks. */
MUST_CHECK int etcd_request_start(struct etcd_store *store, enum etcd_kind kind,
				  const struct store_call *call, struct etcd_request **ret_request);
/* Begins, after the caller has filled in what the kind needs. */
void etcd_request_run(struct etcd_request *r);
void etcd_request_free(struct etcd_request *r);

/* Revisions as callers see them. */
uint64_t etcd_public_revision(const struct etcd_store *store, int64_t revision);

/* Whether an answer comes from the cluster as it was known when it was asked
 * for. If not, this says so loudly and starts to find out. */
MUST_CHECK int etcd_check_header(struct etcd_store *store, const struct etcd_header *header,
				 int64_t expected_revision, const char *endpoint);
/* A survey's request has ended; answered tells whether its header counts. */
void etcd_survey_answered(struct etcd_request *r, bool answered);

/* Brings a listing of a key or tree up to what kv says. ERR_SYNTAX if kv is about
 * something else. */
MUST_CHECK int etcd_apply_kv(const struct etcd_store *store, const char *key, bool is_tree,
			     const struct etcd_kv *kv, struct listing *listing);

int etcd_watch_start(struct store *store, const struct store_watch *watch,
		     struct store_watch **ret_watch);
void etcd_watch_stop(struct store_watch *watch);

/* "/v3/kv/range" or its older form, into path. */
#define ETCD_PATH_SIZE 40
const char *etcd_path(const struct etcd_store *store, const char *name,
		      char path[static ETCD_PATH_SIZE]);

#endif

/* Standard base64 with padding, as the JSON of etcd and Consul carries bytes. */
#ifndef PGSPLICE_BASE_BASE64_H
#define PGSPLICE_BASE_BASE64_H

#include "base/strbuf.h"

/* Both append to `into` and return 0, -ENOMEM, or ERR_SYNTAX for text that is
 * not base64. */
MUST_CHECK int base64_encode(struct strbuf *into, const void *data, size_t size);
MUST_CHECK int base64_decode(struct strbuf *into, const char *text, size_t size);

#endif

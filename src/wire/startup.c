/* Telling the first packets of a client apart. */
#include "wire/startup.h"

#define CODE_CANCEL UINT32_C(80877102)
#define CODE_SSL    UINT32_C(80877103)
#define CODE_GSSENC UINT32_C(80877104)

/* Length and code; a cancel goes on with a process id and the key. */
#define HEADER_SIZE       8
#define NEGOTIATION_SIZE  8
#define LEAST_CANCEL_SIZE 16

static uint32_t read_u32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       (uint32_t)bytes[3];
}

enum startup_kind startup_classify(const uint8_t *bytes, size_t size, size_t *ret_size)
{
	if (size > 0 && bytes[0] != 0)
		return STARTUP_OTHER; /* no first packet is that long; TLS begins with 22 */
	if (size < HEADER_SIZE) {
		*ret_size = HEADER_SIZE;
		return STARTUP_SHORT;
	}
	uint32_t length = read_u32(bytes);
	uint32_t code = read_u32(bytes + 4);
	if ((code == CODE_SSL || code == CODE_GSSENC) && length == NEGOTIATION_SIZE)
		return STARTUP_NEGOTIATION;
	if (code != CODE_CANCEL || length < LEAST_CANCEL_SIZE || length > STARTUP_MAX_CANCEL)
		return STARTUP_OTHER;
	*ret_size = length;
	return size < length ? STARTUP_SHORT : STARTUP_CANCEL;
}

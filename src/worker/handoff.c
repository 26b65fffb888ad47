/* A stack of clients that is emptied at once, so that no node is ever reused
 * while somebody looks at it. */
#include "worker/handoff.h"

#include <errno.h>

int handoff_push(struct handoff *handoff, int fd, unsigned port, const struct addr *addr)
{
	struct handed *node = malloc(sizeof(*node));

	if (node == NULL)
		return -ENOMEM;
	node->fd = fd;
	node->port = port;
	node->addr = *addr;
	node->next = atomic_load_explicit(&handoff->newest, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&handoff->newest, &node->next, node,
						      memory_order_release, memory_order_relaxed))
		;
	return 0;
}

bool handoff_is_empty(const struct handoff *handoff)
{
	return atomic_load_explicit(&handoff->newest, memory_order_relaxed) == NULL;
}

struct handed *handoff_take(struct handoff *handoff)
{
	struct handed *node = atomic_load_explicit(&handoff->newest, memory_order_relaxed);
	struct handed *oldest = NULL;

	if (node == NULL)
		return NULL;
	node = atomic_exchange_explicit(&handoff->newest, NULL, memory_order_acquire);
	while (node != NULL) {
		struct handed *next = node->next;
		node->next = oldest;
		oldest = node;
		node = next;
	}
	return oldest;
}

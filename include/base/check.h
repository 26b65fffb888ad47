/* CHECK(): what must hold unless pgsplice itself is wrong. Never for input,
 * peers or the system. A failed check ends the process, and the kernel then
 * aborts every server socket (SO_LINGER {1,0}), which is the safe way to fail. */
#ifndef PGSPLICE_BASE_CHECK_H
#define PGSPLICE_BASE_CHECK_H

_Noreturn void check_failed(const char *file, int line, const char *expression);

#define CHECK(expression) ((expression) ? (void)0 : check_failed(__FILE__, __LINE__, #expression))

#define BIT(n) (1u << (n))

#endif

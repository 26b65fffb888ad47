/* What floor_copy and floor_splice share: arguments, threads, opening. */
#ifndef PGSPLICE_BENCH_FLOOR_H
#define PGSPLICE_BENCH_FLOOR_H

#include "../load/net.h"

#define FLOOR_EVENTS 256 /* a turn */

/* The calling thread's own listener. */
int floor_listen(void);
/* A connection to the server, both it and the client ready to be used; ends the
 * program if the server is gone. */
int floor_connect(int client);
/* Runs the threads that the arguments name, and stays. */
int floor_main(int argc, char **argv, void *(*run)(void *arg));

#endif

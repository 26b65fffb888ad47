/* What each fuzz_*.c defines and both libFuzzer and replay_main.c call. */
#ifndef PGSPLICE_FUZZ_TARGET_H
#define PGSPLICE_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

/* The name is libFuzzer's. Always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif

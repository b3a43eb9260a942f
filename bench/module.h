/* What modules.c calls in each module. */
#ifndef BENCH_MODULE_H
#define BENCH_MODULE_H

#include <stddef.h>

/* Puts bytes permanently within reach of a target. Null: nothing fits. */
typedef void *(*module_place_type)(const void *target, const void *bytes, size_t size);
void *module_place(const void *target, const void *bytes, size_t size);

#endif

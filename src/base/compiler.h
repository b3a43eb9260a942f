/* What C17 has no words for: whether a function is compiled into its callers. */
#ifndef NB_COMPILER_H
#define NB_COMPILER_H

/* For the fast path, which is compiled once for each layout of items. */
#define NB_FORCEINLINE static inline __attribute__((always_inline))

/* Kept out of the fast path, whose values can then stay in registers. */
#define NB_NOINLINE __attribute__((noinline))
#define NB_COLD __attribute__((noinline, cold))

#endif

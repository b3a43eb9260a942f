/* The compiler extensions that this library uses beyond C17. Ports use others of their system. */
#ifndef NB_COMPILER_H
#define NB_COMPILER_H

/* For the fast path, which is compiled once for each item layout. */
#define NB_FORCEINLINE static inline __attribute__((always_inline))

/* Keeps a function out of the fast path, so that the fast path's values stay in registers. */
#define NB_NOINLINE __attribute__((noinline))
#define NB_COLD __attribute__((noinline, cold))

/* For a structure that lies in bytes of the caller's. */
#define NB_MAY_ALIAS __attribute__((may_alias))

#endif

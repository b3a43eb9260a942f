/* A number that distinguishes threads, in one instruction where the processor has a thread pointer.
 *
 * No thread-local variable is used: in a library that was loaded with dlopen the general model
 * calls malloc on a thread's first use, the initial-exec model exhausts the static block, and
 * mingw's emulation needs a runtime. Two threads may have the same number; it is a hint. */
#ifndef NBUF_OS_THREAD_H
#define NBUF_OS_THREAD_H

#include <stdint.h>

#include <errno.h>

static inline uintptr_t nbuf_os_thread(void) {
#if defined(_WIN32) && defined(_WIN64) && defined(__x86_64__)
  uintptr_t block;
  __asm__("mov %%gs:0x30, %0" : "=r"(block)); /* the thread's environment block */
  return block;
#elif defined(_WIN32) && defined(__i386__)
  uintptr_t block;
  __asm__("mov %%fs:0x18, %0" : "=r"(block));
  return block;
#elif (defined(__linux__) || defined(__FreeBSD__)) && defined(__x86_64__)
  uintptr_t pointer;
  __asm__("mov %%fs:0, %0" : "=r"(pointer)); /* psABI: the first word is its own address */
  return pointer;
#elif defined(__linux__) && defined(__i386__)
  uintptr_t pointer;
  __asm__("mov %%gs:0, %0" : "=r"(pointer));
  return pointer;
#elif defined(__aarch64__) && defined(__APPLE__)
  uintptr_t pointer;
  __asm__("mrs %0, tpidrro_el0" : "=r"(pointer));
  return pointer & ~(uintptr_t)7; /* older kernels keep the processor's number in these bits */
#elif defined(__aarch64__) && !defined(_WIN32)
  uintptr_t pointer;
  __asm__("mrs %0, tpidr_el0" : "=r"(pointer));
  return pointer;
#elif defined(__aarch64__)
  uintptr_t pointer;
  __asm__("mov %0, x18" : "=r"(pointer)); /* Windows on ARM keeps the block's address there */
  return pointer;
#else
  return (uintptr_t)&errno; /* every C library keeps one per thread */
#endif
}

#endif

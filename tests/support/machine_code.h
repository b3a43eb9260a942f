/* A function that returns 42 and one that returns 43, as machine code of this processor: what tests
 * append and execute. */
#ifndef NEARBUF_TEST_MACHINE_CODE_H
#define NEARBUF_TEST_MACHINE_CODE_H

#include <stdint.h>

enum { ANSWER = 42, OTHER_ANSWER = 43 };

typedef int (*answering_function)(void);

#if defined(__x86_64__) || defined(__i386__)
/* mov eax, N; ret */
static const uint8_t code_of_answer[] = {0xb8, ANSWER, 0, 0, 0, 0xc3};
static const uint8_t code_of_other_answer[] = {0xb8, OTHER_ANSWER, 0, 0, 0, 0xc3};
#elif defined(__aarch64__)
/* mov w0, #N; ret */
static const uint32_t code_of_answer[] = {0x52800000 | ANSWER << 5, 0xd65f03c0};
static const uint32_t code_of_other_answer[] = {0x52800000 | OTHER_ANSWER << 5, 0xd65f03c0};
#elif defined(__arm__)
/* mov r0, #N; bx lr */
static const uint32_t code_of_answer[] = {0xe3a00000 | ANSWER, 0xe12fff1e};
static const uint32_t code_of_other_answer[] = {0xe3a00000 | OTHER_ANSWER, 0xe12fff1e};
#elif defined(__riscv)
/* li a0, N; ret */
static const uint32_t code_of_answer[] = {0x00000513 | ANSWER << 20, 0x00008067};
static const uint32_t code_of_other_answer[] = {0x00000513 | OTHER_ANSWER << 20, 0x00008067};
#elif defined(__s390x__)
/* lghi %r2, N; br %r14 */
static const uint8_t code_of_answer[] = {0xa7, 0x29, 0, ANSWER, 0x07, 0xfe};
static const uint8_t code_of_other_answer[] = {0xa7, 0x29, 0, OTHER_ANSWER, 0x07, 0xfe};
#elif defined(__powerpc64__)
/* li r3, N; blr */
static const uint32_t code_of_answer[] = {0x38600000 | ANSWER, 0x4e800020};
static const uint32_t code_of_other_answer[] = {0x38600000 | OTHER_ANSWER, 0x4e800020};
#else
#error "no machine code for this processor"
#endif

/* Executes the code at an address. */
static inline int run_code_at(const void *address) {
  answering_function function = (answering_function)(uintptr_t)address;
  return function();
}

#endif

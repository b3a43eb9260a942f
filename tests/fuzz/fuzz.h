/* The interface of a fuzz target: the entry point that libFuzzer and the replay of the corpus call.
 *
 * A target is a file. It ends the process (`require`) if the library misbehaves; sanitizers find
 * the rest. */
#ifndef NEARBUF_FUZZ_H
#define NEARBUF_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A finding: prints it and ends the process in such a way that libFuzzer keeps the input. */
__attribute__((noreturn)) static inline void fuzz_finding(const char *file, int line,
                                                          const char *what) {
  (void)fprintf(stderr, "%s:%d: finding: %s\n", file, line, what);
  abort();
}

#define require(condition) ((condition) ? (void)0 : fuzz_finding(__FILE__, __LINE__, #condition))

/* Reads an input as numbers; zeros follow its end. */
typedef struct fuzz_input {
  const uint8_t *data;
  size_t left;
} fuzz_input;

static inline uint8_t fuzz_byte(fuzz_input *input) {
  if (input->left == 0) {
    return 0;
  }
  input->left--;
  return *input->data++;
}

static inline uint64_t fuzz_number(fuzz_input *input, size_t bytes) {
  uint64_t number = 0;
  for (size_t i = 0; i < bytes; i++) {
    number |= (uint64_t)fuzz_byte(input) << (8 * i);
  }
  return number;
}

#endif

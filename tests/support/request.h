/* Requests that several tests make. */
#ifndef NEARBUF_TEST_REQUEST_H
#define NEARBUF_TEST_REQUEST_H

#include <nearbuf/process.h>

#include "test.h"

/* At any address. */
static inline nearbuf_request request_of(size_t size_bytes) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = size_bytes;
  return request;
}

/* Within reach of a jump at `target`. */
static inline nearbuf_request request_near(const void *target, size_t size_bytes) {
  nearbuf_request request;
  CHECK_OK(nearbuf_request_near(target, size_bytes, &request));
  return request;
}

/* Within reach of a jump in the code of this program. */
static inline nearbuf_request request_near_code(size_t size_bytes) {
  return request_near((const void *)(uintptr_t)request_near_code, size_bytes);
}

/* In another process, at any address from 1 MiB on: some systems do not map below. */
static inline nearbuf_process_request anywhere(uint64_t size_bytes) {
  nearbuf_process_request request = NEARBUF_PROCESS_REQUEST_INIT;
  request.size_bytes = size_bytes;
  request.min = UINT64_C(1) << 20;
  return request;
}

#endif

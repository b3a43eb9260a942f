/* This library, shared, as a program uses it: the request is made once for a place. */
#include <string.h>

#include <nearbuf/nearbuf.h>

#include "../peer.h"

static const nearbuf_request *request_for(uintptr_t target, size_t size) {
  static nearbuf_request request;
  if (request.target != target || request.size_bytes != size) {
    (void)nearbuf_request_near((const void *)target, size, &request);
  }
  return &request;
}

static void *allocate(uintptr_t target, size_t size) {
  nearbuf_buffer buffer;
  nearbuf_memory room = {0};
  if (nearbuf_get(request_for(target, size), &buffer) == NEARBUF_OK) {
    (void)nearbuf_reserve(&buffer, size, 1, &room);
    (void)nearbuf_commit(&buffer, size);
    (void)nearbuf_release(&buffer);
  }
  return room.run_at;
}

static void *place(uintptr_t target, const void *bytes, size_t size) {
  nearbuf_memory placed;
  (void)nearbuf_place(request_for(target, size), bytes, &placed);
  return placed.run_at;
}

static void *map(uintptr_t target, size_t size) {
  nearbuf_memory memory;
  (void)nearbuf_allocate(request_for(target, size), &memory);
  return memory.run_at;
}

static void unmap(void *address, size_t size) {
  nearbuf_memory memory = {
      .write_to = address, .run_at = address, .size_bytes = size, .is_private = 1};
  (void)nearbuf_free(&memory);
}

static bool get_and_release(size_t count) {
  nearbuf_request request;
  nearbuf_buffer buffer;
  (void)nearbuf_request_near((const void *)bench_own_code, 4096, &request);
  for (size_t i = 0; i < count; i++) {
    if (nearbuf_get(&request, &buffer) != NEARBUF_OK || nearbuf_release(&buffer) != NEARBUF_OK) {
      return false;
    }
  }
  return true;
}

static double append_16(size_t count) {
  const unsigned char bytes[16] = {0xc3};
  nearbuf_request request;
  nearbuf_buffer buffer;
  nearbuf_memory room;
  (void)nearbuf_request_near((const void *)bench_own_code, sizeof bytes * count, &request);
  if (nearbuf_get(&request, &buffer) != NEARBUF_OK ||
      nearbuf_reserve(&buffer, request.size_bytes, 1, &room) != NEARBUF_OK) {
    return -1;
  }
  memset(room.write_to, 0, room.size_bytes);
  double start = bench_now();
  for (size_t i = 0; i < count; i++) {
    if (nearbuf_append(&buffer, bytes, sizeof bytes, NULL) != NEARBUF_OK) {
      return -1;
    }
  }
  double end = bench_now();
  (void)nearbuf_release(&buffer);
  return end - start;
}

static void *hold(void) {
  nearbuf_buffer buffer;
  nearbuf_memory room = {0};
  if (nearbuf_get(request_for(bench_own_code, 4096), &buffer) == NEARBUF_OK) {
    (void)nearbuf_reserve(&buffer, 4096, 1, &room);
  }
  return room.run_at;
}

const bench_peer_type bench_peer = {
    .name = "nearbuf",
    .is_near = true,
    .is_executable = true,
    .allocate = allocate,
    .place = place,
    .map = map,
    .unmap = unmap,
    .get_and_release = get_and_release,
    .append_16 = append_16,
    .hold = hold,
};

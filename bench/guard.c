/* The work whose instructions scripts/ci counts, COUNT times: guard WORK COUNT. */
#include <stdlib.h>
#include <string.h>

#include <nearbuf/nearbuf.h>
#include <nearbuf/reloaded.h>

static const char target;
static const unsigned char bytes[24];

static int get_and_release(long count) {
  nearbuf_request request;
  nearbuf_buffer buffer;
  nearbuf_status status = nearbuf_request_near(&target, 4096, &request);
  for (long i = 0; i < count && status == NEARBUF_OK; i++) {
    status = nearbuf_get(&request, &buffer);
    status = status == NEARBUF_OK ? nearbuf_release(&buffer) : status;
  }
  return status != NEARBUF_OK;
}

static int place(long count) {
  nearbuf_request request;
  nearbuf_memory placed;
  nearbuf_status status = nearbuf_request_near(&target, sizeof bytes, &request);
  request.alignment_bytes = 1;
  for (long i = 0; i < count && status == NEARBUF_OK; i++) {
    status = nearbuf_place(&request, bytes, &placed);
  }
  return status != NEARBUF_OK;
}

static int append(long count) {
  nearbuf_request request;
  nearbuf_buffer buffer;
  nearbuf_status status = nearbuf_request_near(&target, (size_t)4 << 20, &request);
  status = status == NEARBUF_OK ? nearbuf_get(&request, &buffer) : status;
  for (long i = 0; i < count && status == NEARBUF_OK; i++) {
    status = nearbuf_append(&buffer, bytes, sizeof bytes, NULL);
  }
  return status != NEARBUF_OK;
}

/* What is in no buffer, where there are many. */
static int find(long count) {
  enum { HELD = 5000 };
  nearbuf_request request;
  nearbuf_buffer held;
  nearbuf_info info;
  nearbuf_status status = nearbuf_request_near(&target, 64, &request);
  for (int i = 0; i < HELD && status == NEARBUF_OK; i++) {
    status = nearbuf_get(&request, &held);
  }
  for (long i = 0; i < count && status == NEARBUF_OK; i++) {
    status = nearbuf_find(&info, &info) == NEARBUF_NOT_FOUND ? NEARBUF_OK : NEARBUF_BUSY;
  }
  return status != NEARBUF_OK;
}

static int drop_in_get_and_free(long count) {
  BufferSearchSettings settings =
      buffersearchsettings_from_proximity(0x7fffffff, (uintptr_t)&target, 4096);
  GetBufferResult got = {.is_ok = true};
  for (long i = 0; i < count && got.is_ok; i++) {
    got = buffers_get_buffer(&settings);
    free_get_buffer_result(got);
  }
  return !got.is_ok;
}

static int drop_in_append(long count) {
  BufferSearchSettings settings =
      buffersearchsettings_from_proximity(0x7fffffff, (uintptr_t)&target, (size_t)4 << 20);
  GetBufferResult got = buffers_get_buffer(&settings);
  uintptr_t at = got.is_ok;
  for (long i = 0; i < count && at != 0; i++) {
    at = locatoritem_append_bytes(got.ok, bytes, sizeof bytes);
  }
  return at == 0;
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    int (*run)(long count);
  } works[] = {{"get-release", get_and_release},
               {"place", place},
               {"append", append},
               {"find", find},
               {"drop-in-get-free", drop_in_get_and_free},
               {"drop-in-append", drop_in_append}};
  for (size_t i = 0; argc == 3 && i < sizeof works / sizeof works[0]; i++) {
    if (strcmp(argv[1], works[i].name) == 0) {
      return works[i].run(strtol(argv[2], NULL, 10));
    }
  }
  return 2;
}

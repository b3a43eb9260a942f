/* A program that uses the Rust implementation's C interface, as its user would write it. */
#include <nearbuf/reloaded.h>

#include <stdio.h>
#include <string.h>

int main(void) {
  static const uint8_t bytes[] = {0xde, 0xad, 0xbe, 0xef};
  BufferSearchSettings settings =
      buffersearchsettings_from_proximity(INT32_MAX, (uintptr_t)&main, 4096);
  GetBufferResult result = buffers_get_buffer(&settings);
  if (!result.IsOk) {
    fprintf(stderr, "consumer: %s\n", result.Err);
    free_string((char *)result.Err);
    return 1;
  }
  uintptr_t address = locatoritem_append_bytes(result.Ok, bytes, sizeof bytes);
  free_get_buffer_result(result);
  if (address < settings.MinAddress || address >= settings.MaxAddress ||
      memcmp((const void *)address, bytes, sizeof bytes) != 0) {
    fprintf(stderr, "consumer: appended wrongly\n");
    return 1;
  }
  puts("consumer: appended");
  return 0;
}

#include "detour.h"

#include <string.h>

#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__) || defined(_M_IX86)

void detour_write_jump(unsigned char *bytes, uintptr_t from, uintptr_t to) {
  int32_t displacement = (int32_t)(uint32_t)(to - (from + DETOUR_JUMP_SIZE));
  bytes[0] = 0xE9;
  memcpy(bytes + 1, &displacement, sizeof displacement);
}

#elif defined(__aarch64__) || defined(_M_ARM64)

void detour_write_jump(unsigned char *bytes, uintptr_t from, uintptr_t to) {
  uint32_t branch = 0x14000000 | (((uint32_t)(to - from) >> 2) & 0x03FFFFFF);
  memcpy(bytes, &branch, sizeof branch);
}

#else

void detour_write_jump(unsigned char *bytes, uintptr_t from, uintptr_t to) {
  (void)bytes;
  (void)from;
  (void)to;
}

#endif

#if defined(__x86_64__) || defined(_M_X64)

int detour_write_stub(unsigned char *bytes, uintptr_t at, uintptr_t to) {
  /* endbr64; jmp *[the next 8 bytes]; those 8 bytes. Position-independent. */
  static const unsigned char code[] = {0xF3, 0x0F, 0x1E, 0xFA, 0xFF, 0x25, 0, 0, 0, 0};
  (void)at;
  memcpy(bytes, code, sizeof code);
  memcpy(bytes + sizeof code, &to, sizeof to);
  return sizeof code + sizeof to;
}

#elif defined(__aarch64__) || defined(_M_ARM64)

int detour_write_stub(unsigned char *bytes, uintptr_t at, uintptr_t to) {
  /* ldr x16, 8 bytes ahead; br x16; those 8 bytes. Position-independent. */
  static const uint32_t code[] = {0x58000050, 0xD61F0200};
  (void)at;
  memcpy(bytes, code, sizeof code);
  memcpy(bytes + sizeof code, &to, sizeof to);
  return sizeof code + sizeof to;
}

#else

int detour_write_stub(unsigned char *bytes, uintptr_t at, uintptr_t to) {
  /* On i386 a jump reaches every address. On other processors the stub is never run. */
  detour_write_jump(bytes, at, to);
  return DETOUR_JUMP_SIZE != 0 ? DETOUR_JUMP_SIZE : DETOUR_STUB_SIZE;
}

#endif

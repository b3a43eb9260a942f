/* A detour that still calls the original. The first instructions of the function, as many as a
 * 5-byte jump covers, are moved to a trampoline that continues after them; then the jump replaces
 * them. Zydis determines the lengths of the instructions and which are relative to their own
 * address. x86-64.
 *
 * While the jump is written, no other thread may execute the first bytes of the function: suspend
 * the threads, or patch before they start. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <Zydis/Zydis.h>
#include <nearbuf/nearbuf.h>

enum {
  JUMP_SIZE = 5,
  INSTRUCTION_MAX = 15,
  TRAMPOLINE_MAX = JUMP_SIZE + INSTRUCTION_MAX + JUMP_SIZE
};

static void write_jump(unsigned char *bytes, uintptr_t from, uintptr_t to) {
  int32_t distance = (int32_t)(to - (from + JUMP_SIZE));
  bytes[0] = 0xE9;
  memcpy(bytes + 1, &distance, sizeof distance);
}

/* An instruction with an operand relative to its own address, in 32 bits at `offset`, must be
 * adjusted when it moves by `moved`. */
static int adjust(unsigned char *instruction, unsigned offset, intptr_t moved) {
  int32_t distance;
  memcpy(&distance, instruction + offset, sizeof distance);
  intptr_t adjusted = distance - moved;
  distance = (int32_t)adjusted;
  memcpy(instruction + offset, &distance, sizeof distance);
  return distance == adjusted;
}

/* Adjusts a copied instruction to its new address. 0: it cannot be moved. */
static int relocate(unsigned char *instruction, const ZydisDecodedInstruction *decoded,
                    intptr_t moved) {
  if ((decoded->attributes & ZYDIS_ATTRIB_IS_RELATIVE) == 0) {
    return 1;
  }
  if (decoded->raw.imm[0].is_relative) {
    return decoded->raw.imm[0].size == 32 && adjust(instruction, decoded->raw.imm[0].offset, moved);
  }
  return decoded->raw.disp.size == 32 && adjust(instruction, decoded->raw.disp.offset, moved);
}

/* Moves whole instructions until there is room for a jump, and jumps back to the one after them. */
static ptrdiff_t write_trampoline(const nearbuf_memory *room, void *context) {
  const unsigned char *target = context;
  intptr_t moved = (intptr_t)((uintptr_t)room->run_at - (uintptr_t)target);
  ZydisDecoder decoder;
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  size_t size = 0;
  while (size < JUMP_SIZE) {
    ZydisDecodedInstruction decoded;
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, target + size, INSTRUCTION_MAX,
                                                    &decoded))) {
      return -1;
    }
    memcpy(room->write_to + size, target + size, decoded.length);
    if (!relocate(room->write_to + size, &decoded, moved)) {
      return -1;
    }
    size += decoded.length;
  }
  write_jump(room->write_to + size, (uintptr_t)room->run_at + size, (uintptr_t)target + size);
  return (ptrdiff_t)size + JUMP_SIZE;
}

static ptrdiff_t write_far_jump(const nearbuf_memory *room, void *context) {
  static const unsigned char code[] = {0xFF, 0x25, 0, 0, 0, 0}; /* jmp [the next 8 bytes] */
  uintptr_t destination = (uintptr_t)context;
  memcpy(room->write_to, code, sizeof code);
  memcpy(room->write_to + sizeof code, &destination, sizeof destination);
  return sizeof code + sizeof destination;
}

static int patch(unsigned char *target, const unsigned char *bytes, size_t size) {
  uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t first = (uintptr_t)target & ~(page_size - 1);
  size_t length = (uintptr_t)target + size - first;
  if (mprotect((void *)first, length, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) {
    return 0;
  }
  memcpy(target, bytes, size);
  return mprotect((void *)first, length, PROT_READ | PROT_EXEC) == 0;
}

/* ---- The use --------------------------------------------------------------------------------- */

static char *(*original_getenv)(const char *name);
static int calls;

static char *counting_getenv(const char *name) {
  calls++;
  return original_getenv(name);
}

static int fails(const char *what) {
  fprintf(stderr, "detour: %s\n", what);
  return 1;
}

int main(void) {
  unsigned char *target = (unsigned char *)(uintptr_t)getenv;
  unsigned char before[JUMP_SIZE];
  unsigned char jump[JUMP_SIZE];
  nearbuf_request request;
  nearbuf_memory trampoline;
  nearbuf_memory stub;

  nearbuf_status status = nearbuf_request_near(target, TRAMPOLINE_MAX, &request);
  if (status == NEARBUF_OK) {
    status = nearbuf_place_with(&request, write_trampoline, target, &trampoline);
  }
  if (status == NEARBUF_OK) {
    status =
        nearbuf_place_with(&request, write_far_jump, (void *)(uintptr_t)counting_getenv, &stub);
  }
  if (status != NEARBUF_OK) {
    return fails(nearbuf_status_text(status));
  }

  original_getenv = (char *(*)(const char *))(uintptr_t)trampoline.run_at;
  const char *path = getenv("PATH");
  memcpy(before, target, JUMP_SIZE);
  write_jump(jump, (uintptr_t)target, (uintptr_t)stub.run_at);
  if (!patch(target, jump, JUMP_SIZE)) {
    return fails("the system does not let code be changed");
  }
  const char *path_through_detour = getenv("PATH");
  if (!patch(target, before, JUMP_SIZE)) {
    return fails("the system does not let code be put back");
  }
  printf("getenv was called %d time through the detour at %p and the trampoline at %p\n", calls,
         (void *)stub.run_at, (void *)trampoline.run_at);
  if (calls != 1 || path != path_through_detour) {
    return fails("the detour does not work");
  }
  return 0;
}

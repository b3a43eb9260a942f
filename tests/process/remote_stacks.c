/* In another process, too, memory that only looks free is not used: addresses below a stack that
 * grows on demand (MAP_GROWSDOWN). */
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote_support.h"
#include "test.h"

enum { MIB = 1 << 20, HOLE = 64 * MIB, STACK_SIZE = 64 << 10, STACK_NEED = 9 * MIB };

/* Where the children have their hole and, at its upper end, the stack. */
static uintptr_t make_stack(void) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  uintptr_t hole = (uintptr_t)mmap(NULL, HOLE, PROT_NONE, flags, -1, 0);
  uintptr_t stack = hole + HOLE - STACK_SIZE;
  CHECK_EQUAL(0, munmap((void *)(hole + 4096), HOLE - 4096));
  CHECK_EQUAL(stack, (uintptr_t)mmap((void *)stack, STACK_SIZE, PROT_READ | PROT_WRITE,
                                     flags | MAP_GROWSDOWN | MAP_FIXED, -1, 0));
  return stack;
}

static nearbuf_process open_child(pid_t *child) {
  *child = fork();
  CHECK(*child >= 0);
  if (*child == 0) {
    CHECK_EQUAL(0, prctl(PR_SET_PDEATHSIG, SIGKILL)); /* should a check fail */
    for (;;) {
      pause();
    }
  }
  nearbuf_process process;
  CHECK_OK(nearbuf_process_open(*child, &process));
  return process;
}

static void end_child(pid_t child) {
  CHECK_EQUAL(0, kill(child, SIGKILL));
  CHECK_EQUAL(child, waitpid(child, NULL, 0));
}

TEST(the_room_that_a_stack_of_it_grows_into_is_left_alone) {
  uintptr_t stack = make_stack();
  pid_t child;
  nearbuf_process process = open_child(&child);
  nearbuf_process_request request = anywhere(4096);
  request.min = stack - HOLE / 2;
  request.max = stack + STACK_SIZE - 1;
  request.target = stack;
  nearbuf_process_buffer buffer;
  CHECK_OK(nearbuf_process_get(&process, &request, &buffer));
  CHECK_EQUAL(stack - STACK_NEED, buffer.address + buffer.size); /* 8 MiB, and the guard gap */
  CHECK_OK(nearbuf_process_release(&process, &buffer));
  CHECK_OK(nearbuf_process_close(&process));
  end_child(child);
}

TEST(where_nothing_else_fits_a_stack_of_it_keeps_what_the_system_guards) {
  uintptr_t stack = make_stack();
  pid_t child;
  nearbuf_process process = open_child(&child);
  nearbuf_process_request request = anywhere(64 << 10);
  request.min = stack - 2 * (uintptr_t)MIB;
  request.max = stack + STACK_SIZE - 1;
  request.target = stack;
  uint64_t address;
  uint64_t size;
  for (int i = 0; i < MIB / (64 << 10); i++) {
    CHECK_OK(nearbuf_process_allocate(&process, &request, &address, &size));
    CHECK(address + size <= stack - MIB);
  }
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_process_allocate(&process, &request, &address, &size));
  CHECK_OK(nearbuf_process_close(&process));
  end_child(child);
}

TEST(the_room_that_its_heap_grows_into_is_used_last) {
  const uint64_t heap_need = (uint64_t)256 * MIB;
  /* Not sbrk, which musl refuses. */
  uint64_t heap_end = ((uint64_t)syscall(SYS_brk, syscall(SYS_brk, 0) + 1) + 4095) / 4096 * 4096;
  pid_t child;
  nearbuf_process process = open_child(&child);
  nearbuf_process_request request = anywhere(4096);
  request.min = heap_end;
  request.max = heap_end + 4 * heap_need;
  request.target = heap_end;
  uint64_t address;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &address, NULL));
  CHECK_EQUAL(heap_end + heap_need, address);
  request.max = heap_end + MIB;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &address, NULL));
  CHECK(address >= heap_end && address < heap_end + MIB);
  CHECK_OK(nearbuf_process_close(&process));
  end_child(child);
}

/* See linux_registers.h: AArch64. */
#include "linux_registers.h"

TEST(registers_are_read_and_set_whole) {
  check_read_and_set();
}

enum { STACK = 0x5000, NEXT = 0x6000, FIRST = 0x31 };

static nbuf_blocked_call before;
static nbuf_registers saved;

/* In a call, as the kernel leaves it where it restarts it itself, or as ended with EINTR. */
static void block_in(uint64_t number, bool is_ended) {
  saved = filled();
  before = (nbuf_blocked_call){true, number, FIRST, STACK, NEXT};
  saved.sp = STACK;
  saved.regs[8] = number;
  saved.pc = is_ended ? NEXT : NEXT - 4;
  saved.regs[0] = is_ended ? MINUS(EINTR) : FIRST;
}

static void check_restored(nbuf_call_stage stage, uint64_t pc, uint64_t result) {
  CHECK(nbuf_registers_restore(THREAD, &saved, &wide, &before, stage));
  CHECK_EQUAL(pc, kernel.set.pc);
  CHECK_EQUAL(result, kernel.set.regs[0]);
}

TEST(a_call_has_its_number_and_keeps_the_first_argument_of_the_one_before) {
  nbuf_registers set = filled();
  block_in(SYS_read, true);
  nbuf_registers_prepare(&set, &wide, NBUF_TRACE_FLOCK, arguments, &before);
  CHECK(set.pc == ENTRY && set.regs[8] == SYS_flock && set.regs[0] == FIRST);
  for (int i = 1; i < 6; i++) {
    CHECK_EQUAL(arguments[i], set.regs[i]);
  }
  CHECK(nbuf_registers_at_entry(THREAD, &set, arguments));
  CHECK_EQUAL(arguments[0], kernel.set.regs[0]);
  set.regs[0] = MINUS(ENOMEM);
  CHECK(nbuf_registers_result(&set, &wide) == -ENOMEM);
}

TEST(behind_a_call_the_kernel_decides_again) {
  block_in(SYS_read, true);
  check_restored(NBUF_CALL_DONE, NEXT, MINUS(514));
  block_in(SYS_read, false);
  check_restored(NBUF_CALL_DONE, NEXT, MINUS(512));
  block_in(SYS_ppoll, false);
  check_restored(NBUF_CALL_DONE, NEXT, MINUS(514));
  block_in(SYS_nanosleep, false);
  check_restored(NBUF_CALL_DONE, NEXT, MINUS(516));
  block_in(SYS_ioctl, true);
  check_restored(NBUF_CALL_DONE, NEXT, MINUS(EINTR));
  CHECK_EQUAL(1, kernel.numbers);
}

TEST(where_no_call_was_made_it_is_repeated_by_hand) {
  block_in(SYS_read, true);
  check_restored(NBUF_CALL_NONE, NEXT - 4, FIRST);
  CHECK_EQUAL(0, kernel.numbers);
  check_restored(NBUF_CALL_ENTERED, NEXT - 4, FIRST);
  CHECK_EQUAL(1, kernel.numbers); /* and the entered one is not made */
  block_in(SYS_read, false);
  check_restored(NBUF_CALL_PREPARED, NEXT - 4, FIRST);
}

TEST(a_thread_that_was_elsewhere_is_in_no_call) {
  block_in(SYS_read, true);
  before.is_known = false;
  check_restored(NBUF_CALL_DONE, NEXT, MINUS(EINTR));
  before.is_known = true;
  before.stack++;
  check_restored(NBUF_CALL_DONE, NEXT, MINUS(EINTR));
  before.stack--;
  before.number++;
  check_restored(NBUF_CALL_DONE, NEXT, MINUS(EINTR));
}

TEST(a_thread_is_moved) {
  nbuf_registers set = filled();
  nbuf_registers_move(&set, 9);
  CHECK_EQUAL(9, nbuf_registers_instruction(&set));
}

/* See linux_registers.h: x86-64, and 32-bit programs on it. */
#include "linux_registers.h"

TEST(registers_are_read_and_set_whole) {
  check_read_and_set();
}

static nbuf_trace_target narrow = {.is_64_bit = false, .entry = ENTRY};
static const nbuf_blocked_call none;

static nbuf_registers prepared(const nbuf_trace_target *target, nbuf_trace_call call) {
  nbuf_registers set = filled();
  nbuf_registers_prepare(&set, target, call, arguments, &none);
  CHECK_EQUAL(ENTRY, set.rip);
  CHECK_EQUAL(UINT64_MAX, set.orig_rax); /* nothing is restarted */
  CHECK(set.rsp == filled().rsp && set.r15 == filled().r15);
  return set;
}

TEST(a_call_has_its_number_and_its_arguments) {
  static const uint64_t numbers[] = {SYS_mmap,   SYS_munmap, SYS_madvise,
                                     SYS_openat, SYS_close,  SYS_flock};
  for (int call = 0; call < NBUF_TRACE_CALLS; call++) {
    nbuf_registers set = prepared(&wide, (nbuf_trace_call)call);
    const uint64_t given[6] = {set.rdi, set.rsi, set.rdx, set.r10, set.r8, set.r9};
    CHECK_EQUAL(numbers[call], set.rax);
    CHECK_EQUAL(0x33, set.cs); /* also where it runs narrow code just now */
    CHECK(memcmp(given, arguments, sizeof given) == 0);
  }
}

/* mmap2, munmap, madvise, openat, close, flock of arch/x86/entry/syscalls/syscall_32.tbl. */
TEST(a_call_of_a_narrow_process_has_narrow_ones) {
  static const uint64_t numbers[] = {192, 91, 219, 295, 6, 143};
  for (int call = 0; call < NBUF_TRACE_CALLS; call++) {
    nbuf_registers set = prepared(&narrow, (nbuf_trace_call)call);
    const uint64_t given[6] = {set.rbx, set.rcx, set.rdx, set.rsi, set.rdi, set.rbp};
    CHECK_EQUAL(numbers[call], set.rax);
    CHECK_EQUAL(filled().cs, set.cs);
    for (int i = 0; i < 6; i++) {
      CHECK_EQUAL((uint32_t)arguments[i], given[i]);
    }
  }
}

TEST(at_the_entry_nothing_is_missing) {
  nbuf_registers set = filled();
  CHECK(nbuf_registers_at_entry(THREAD, &set, arguments));
  CHECK_EQUAL(0, kernel.sets);
}

static int64_t result_of(uint64_t rax, const nbuf_trace_target *target) {
  nbuf_registers set = filled();
  set.rax = rax;
  return nbuf_registers_result(&set, target);
}

TEST(results_are_addresses_or_errors) {
  CHECK(result_of(UINT64_C(0x7fff00000000), &wide) == INT64_C(0x7fff00000000));
  CHECK(result_of(MINUS(ENOMEM), &wide) == -ENOMEM);
  CHECK(result_of(0xffffd000, &narrow) == INT64_C(0xffffd000));
  CHECK(result_of(0xfffff000, &narrow) == INT64_C(0xfffff000));
  CHECK(result_of(0xfffff001, &narrow) == -4095);
  CHECK(result_of(UINT64_C(0xaa00000000) | 0xfffffff4, &narrow) == -ENOMEM);
}

static uint64_t restored(uint64_t number, uint64_t result, const nbuf_trace_target *target) {
  nbuf_registers saved = filled();
  saved.orig_rax = number;
  saved.rax = result;
  nbuf_registers expected = saved;
  CHECK(nbuf_registers_restore(THREAD, &saved, target, &none, NBUF_CALL_DONE));
  expected.rax = kernel.set.rax;
  CHECK(memcmp(&expected, &kernel.set, sizeof expected) == 0);
  return kernel.set.rax;
}

enum { WITHOUT_HANDLER = 514 }; /* ERESTARTNOHAND */

TEST(calls_that_a_stop_ends_are_restarted_unless_a_handler_runs) {
  static const uint64_t ended[] = {SYS_epoll_wait,
                                   SYS_epoll_pwait,
                                   SYS_rt_sigtimedwait,
                                   SYS_semop,
                                   SYS_semtimedop,
                                   SYS_read,
                                   SYS_readv,
                                   SYS_write,
                                   SYS_writev,
                                   SYS_recvfrom,
                                   SYS_recvmsg,
                                   SYS_recvmmsg,
                                   SYS_sendto,
                                   SYS_sendmsg,
                                   SYS_sendmmsg,
                                   SYS_accept,
                                   SYS_accept4,
                                   SYS_connect,
                                   SYS_io_getevents,
                                   SYS_sendfile,
                                   SYS_splice,
                                   SYS_preadv2,
                                   SYS_pwritev2,
                                   333,
                                   426,
                                   441};
  for (size_t i = 0; i < sizeof ended / sizeof *ended; i++) {
    CHECK_EQUAL(MINUS(WITHOUT_HANDLER), restored(ended[i], MINUS(EINTR), &wide));
    CHECK_EQUAL(5, restored(ended[i], 5, &wide));
    CHECK_EQUAL(MINUS(EAGAIN), restored(ended[i], MINUS(EAGAIN), &wide));
  }
  CHECK_EQUAL(MINUS(EINTR), restored(SYS_ioctl, MINUS(EINTR), &wide));
  CHECK_EQUAL(MINUS(EINTR), restored(UINT64_MAX, MINUS(EINTR), &wide));
  kernel.error = ESRCH;
  nbuf_registers saved = filled();
  CHECK(!nbuf_registers_restore(THREAD, &saved, &wide, &none, NBUF_CALL_DONE));
}

/* The numbers of arch/x86/entry/syscalls/syscall_32.tbl. */
TEST(those_of_a_narrow_process_have_its_numbers) {
  static const uint16_t ended[] = {3,   4,   102, 117, 145, 146, 177, 187, 239, 247,
                                   256, 313, 319, 337, 345, 362, 364, 369, 370, 371,
                                   372, 378, 379, 385, 416, 417, 420, 421, 426, 441};
  for (uint64_t number = 0; number < 500; number++) {
    bool is_ended = false;
    for (size_t i = 0; i < sizeof ended / sizeof *ended; i++) {
      is_ended = is_ended || ended[i] == number;
    }
    CHECK_EQUAL(MINUS(is_ended ? WITHOUT_HANDLER : EINTR), restored(number, MINUS(EINTR), &narrow));
    CHECK_EQUAL(is_ended ? MINUS(WITHOUT_HANDLER) : (uint32_t)-EINTR,
                restored(number, (uint32_t)-EINTR, &narrow));
  }
}

TEST(a_call_that_the_kernel_restarts_itself_is_left_to_it) {
  CHECK_EQUAL(MINUS(512), restored(SYS_read, MINUS(512), &wide));
  CHECK_EQUAL(MINUS(516), restored(SYS_poll, MINUS(516), &wide));
}

TEST(a_thread_is_moved_out_of_any_call) {
  nbuf_registers set = filled();
  set.rip = 5;
  CHECK_EQUAL(5, nbuf_registers_instruction(&set));
  nbuf_registers_move(&set, 9);
  CHECK_EQUAL(9, set.rip);
  CHECK_EQUAL(UINT64_MAX, set.orig_rax);
}

TEST(the_registers_of_a_stopped_thread_show_its_call) {
  nbuf_blocked_call call = {true, 1, 2, 3, 4};
  nbuf_registers_note_call(-1, THREAD, &call);
  CHECK(!call.is_known && call.number == 0 && call.next == 0);
}

TEST(the_kernel_is_entered_by_the_usual_instructions) {
  CHECK(nbuf_trace_entry_64_size == 2 && memcmp(nbuf_trace_entry_64, "\x0f\x05", 2) == 0);
  CHECK(nbuf_trace_entry_32_size == 2 && memcmp(nbuf_trace_entry_32, "\xcd\x80", 2) == 0);
}

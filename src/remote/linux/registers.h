/* The processor-dependent part of remote system calls: registers, the numbers of system calls, and
 * how the kernel restarts an interrupted one. */
#ifndef NBUF_LINUX_REGISTERS_H
#define NBUF_LINUX_REGISTERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "remote/linux/target.h"

#if defined(__x86_64__) || defined(__aarch64__)
#define NBUF_HAS_REGISTERS 1

typedef struct user_regs_struct nbuf_registers;

/* The call in which a thread was blocked before it was stopped, as /proc reports it. */
typedef struct nbuf_blocked_call {
  bool is_known;
  uint64_t number;
  uint64_t first_argument;
  uint64_t stack;
  uint64_t next; /* address of the next instruction */
} nbuf_blocked_call;

/* The progress of a remote call. */
typedef enum nbuf_call_stage {
  NBUF_CALL_NONE = 0,
  NBUF_CALL_PREPARED = 1, /* the thread has the registers, and has not entered the kernel */
  NBUF_CALL_ENTERED = 2,  /* at the stop before the call */
  NBUF_CALL_DONE = 3      /* at the stop behind it */
} nbuf_call_stage;

/* A request of ptrace with the system's convention: it returns -1 and sets errno. */
long nbuf_trace_request(pid_t thread, long ctx, uintptr_t address, uintptr_t data);

bool nbuf_registers_get(pid_t thread, nbuf_registers *set);
bool nbuf_registers_set(pid_t thread, const nbuf_registers *set);

/* Records the call in which a running thread is blocked, on processors whose registers do not show
 * it once it is stopped. `directory`: /proc/<id>. */
void nbuf_registers_note_call(int directory, pid_t thread, nbuf_blocked_call *call);

/* Gives a stopped thread the registers of a thread that is about to make a system call. */
void nbuf_registers_prepare(nbuf_registers *set, const nbuf_trace_target *target,
                            nbuf_trace_call call, const uint64_t arguments[6],
                            const nbuf_blocked_call *before);

/* Completes the registers at the stop where the kernel has been entered. */
bool nbuf_registers_at_entry(pid_t thread, nbuf_registers *set, const uint64_t arguments[6]);

/* The call's result, -errno included, at the stop behind it. */
int64_t nbuf_registers_result(const nbuf_registers *set, const nbuf_trace_target *target);

/* Restores the thread's own registers, in such a way that the kernel restarts or ends the call in
 * which the thread was blocked, as it does after any interruption. `stage`: where it is stopped. */
bool nbuf_registers_restore(pid_t thread, const nbuf_registers *saved,
                            const nbuf_trace_target *target, const nbuf_blocked_call *before,
                            nbuf_call_stage stage);

/* Gets the address of the next instruction; sets another one, outside of any call. */
uint64_t nbuf_registers_instruction(const nbuf_registers *set);
void nbuf_registers_move(nbuf_registers *set, uint64_t instruction);

#endif

#endif

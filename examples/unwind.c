/* Windows on x86-64: exceptions that pass through code in a buffer.
 *
 * To find a handler the system unwinds the stack, and must know what the prologue of each function
 * did to it. For a DLL the linker writes this into a table; for code placed at run time
 * RtlAddFunctionTable registers one. Its entries hold 32-bit offsets from one address, so the table
 * must be near the code, as memory placed together with it is. Code without an entry is taken for a
 * leaf function that does not change the stack; if it does, the unwinding finds a handler only by
 * chance, or the process ends. True leaf functions need no entry. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <windows.h>

#include <nearbuf/nearbuf.h>

/* The code and its unwind information. Offsets are from the start of this structure. */
typedef struct stub {
  unsigned char code[16];
  unsigned char unwind[8]; /* UNWIND_INFO: version 1, size of the prologue, number of codes */
  RUNTIME_FUNCTION function;
} stub;

/* Calls its first argument. */
static const stub call_argument = {
    .code = {0x48, 0x83, 0xec, 0x28, /* sub rsp, 40 */
             0xff, 0xd1,             /* call rcx */
             0x48, 0x83, 0xc4, 0x28, /* add rsp, 40 */
             0xc3},                  /* ret */
    .unwind = {1, 4, 1, 0, 4, 0x42}, /* after byte 4: UWOP_ALLOC_SMALL of 8 * 4 + 8 bytes */
    .function = {.BeginAddress = offsetof(stub, code),
                 .EndAddress = offsetof(stub, code) + 11,
                 .UnwindData = offsetof(stub, unwind)}};

static bool is_handled;

/* Called if the system unwinds through the stub. */
EXCEPTION_DISPOSITION handle(EXCEPTION_RECORD *record, void *frame, CONTEXT *context,
                             void *dispatcher);

EXCEPTION_DISPOSITION handle(EXCEPTION_RECORD *record, void *frame, CONTEXT *context,
                             void *dispatcher) {
  (void)frame, (void)context, (void)dispatcher;
  if (record->ExceptionCode != 0xe0000001) {
    return ExceptionContinueSearch;
  }
  is_handled = true;
  return ExceptionContinueExecution; /* after RaiseException */
}

static void raise_exception(void) {
  RaiseException(0xe0000001, 0, 0, NULL);
}

/* With Microsoft's compiler this is __try and __except. */
__attribute__((noinline)) static void call_with_handler(void (*stub_code)(void (*)(void))) {
  __asm__ volatile(".seh_handler handle, @except");
  stub_code(raise_exception);
  __asm__ volatile("nop"); /* a return address at the end of a function would find no handler */
}

int main(void) {
  nearbuf_request request;
  nearbuf_memory placed;
  nearbuf_status status =
      nearbuf_request_near(GetModuleHandleA(NULL), sizeof call_argument, &request);
  if (status == NEARBUF_OK) {
    status = nearbuf_place(&request, &call_argument, &placed);
  }
  if (status != NEARBUF_OK) {
    fprintf(stderr, "unwind: %s\n", nearbuf_status_text(status));
    return 1;
  }
  /* The table is permanent, because the system keeps its address. A program with many stubs uses
   * one table for each region, and RtlAddGrowableFunctionTable. */
  stub *there = (stub *)(void *)placed.run_at;
  if (!RtlAddFunctionTable(&there->function, 1, (DWORD64)placed.run_at)) {
    fprintf(stderr, "unwind: RtlAddFunctionTable failed\n");
    return 1;
  }
  DWORD64 base;
  if (RtlLookupFunctionEntry((DWORD64)placed.run_at + 6, &base, NULL) != &there->function) {
    fprintf(stderr, "unwind: the system does not know the stub\n");
    return 1;
  }
  void (*code)(void (*)(void));
  memcpy(&code, &placed.run_at, sizeof code);
  call_with_handler(code);
  printf("the exception passed through %p: %s\n", (void *)placed.run_at, is_handled ? "yes" : "no");
  return is_handled ? 0 : 1;
}

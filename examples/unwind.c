/* Windows on x86-64: code in a buffer through which exceptions pass.
 *
 * To find a handler the system walks the stack, and for that it needs to know of each function what
 * its beginning did to the stack. For a DLL the linker has written that down; for code that was
 * placed at run time RtlAddFunctionTable tells it. Entries hold offsets of 32 bits from one
 * address: so the tables have to be near the code, and what is placed together with it is. Code
 * without a table is taken for a function that leaves the stack alone, and an exception behind it
 * finds its handler by luck or ends the process. A leaf that does so needs none. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <windows.h>

#include <nearbuf/nearbuf.h>

/* The code and all that the system wants to know of it. Offsets are from the start of this. */
typedef struct stub {
  unsigned char code[16];
  unsigned char unwind[8]; /* UNWIND_INFO: version 1, length of the beginning, number of codes */
  RUNTIME_FUNCTION function;
} stub;

/* Calls its first argument. */
static const stub call_argument = {
    .code = {0x48, 0x83, 0xec, 0x28, /* sub rsp, 40 */
             0xff, 0xd1,             /* call rcx */
             0x48, 0x83, 0xc4, 0x28, /* add rsp, 40 */
             0xc3},                  /* ret */
    .unwind = {1, 4, 1, 0, 4, 0x42}, /* behind byte 4: UWOP_ALLOC_SMALL of 8 * 4 + 8 bytes */
    .function = {.BeginAddress = offsetof(stub, code),
                 .EndAddress = offsetof(stub, code) + 11,
                 .UnwindData = offsetof(stub, unwind)}};

static bool is_handled;

/* Called if the system finds its way back through the stub. */
EXCEPTION_DISPOSITION handle(EXCEPTION_RECORD *record, void *frame, CONTEXT *context,
                             void *dispatcher);

EXCEPTION_DISPOSITION handle(EXCEPTION_RECORD *record, void *frame, CONTEXT *context,
                             void *dispatcher) {
  (void)frame, (void)context, (void)dispatcher;
  if (record->ExceptionCode != 0xe0000001) {
    return ExceptionContinueSearch;
  }
  is_handled = true;
  return ExceptionContinueExecution; /* behind RaiseException */
}

static void raise_exception(void) {
  RaiseException(0xe0000001, 0, 0, NULL);
}

/* With Microsoft's compiler this is __try and __except. */
__attribute__((noinline)) static void call_with_handler(void (*stub_code)(void (*)(void))) {
  __asm__ volatile(".seh_handler handle, @except");
  stub_code(raise_exception);
  __asm__ volatile("nop"); /* a return into the end of a function would find no handler */
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
  /* The table stays where it is, for the system keeps its address. Who places many stubs uses one
   * table for each region, and RtlAddGrowableFunctionTable. */
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

/* A program that was not prepared for what is done to it: it uses no part of the library. It prints
 * "ready", and at the next line that it reads how many steps of its work failed, and ends. */
#include <stdio.h>

#include <windows.h>

static volatile LONG is_over;

/* Adds numbers whose sum can be computed otherwise, all the time. */
static DWORD WINAPI work(void *context) {
  LONG *wrong = context;
  while (InterlockedCompareExchange(&is_over, 0, 0) == 0) {
    unsigned sum = 0;
    for (unsigned i = 1; i <= 1000; i++) {
      sum += i;
    }
    *wrong += sum != 500500;
    Sleep(1);
  }
  return 0;
}

int main(void) {
  LONG wrong = 0;
  char line[16];
  HANDLE worker = CreateThread(NULL, 0, work, &wrong, 0, NULL);
  printf("ready\n");
  fflush(stdout);
  (void)fgets(line, sizeof line, stdin);
  (void)InterlockedExchange(&is_over, 1);
  if (worker == NULL || WaitForSingleObject(worker, INFINITE) != WAIT_OBJECT_0) {
    return 1;
  }
  printf("%ld\n", wrong);
  return 0;
}

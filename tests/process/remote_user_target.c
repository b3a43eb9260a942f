/* A program that uses the library, inspected from outside. It prints "ready", and at each signal
 * USR1 places five bytes and prints the addresses of its first locator and of the bytes. HUP: it
 * holds buffers until it has three locators. USR2: it is not dumpable any more. Both print how many
 * locators there are.
 *
 *   nowhere   it cannot make files: its locator is private, and anonymous
 *   closed    its /tmp cannot be written to: its locator is private, a file in memory */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <nearbuf/nearbuf.h>

#include "own_tmp.h"

static int forbid_files(void) {
  const struct rlimit none = {0, 0};
  signal(SIGXFSZ, SIG_IGN);
  return setrlimit(RLIMIT_FSIZE, &none);
}

static int close_tmp(void) {
  return !unshare_mounts() || mount("none", "/tmp", "tmpfs", MS_RDONLY, "mode=1777") != 0;
}

static int place_and_tell(void) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  nearbuf_memory placed;
  nearbuf_totals totals;
  request.size_bytes = 5;
  request.range.min = 0x100000; /* where other processes will look, too */
  if (nearbuf_place(&request, "hello", &placed) != NEARBUF_OK ||
      nearbuf_get_totals(&totals) != NEARBUF_OK) {
    return 1;
  }
  printf("%#zx %#zx\n", (size_t)totals.first_locator, (size_t)(uintptr_t)placed.run_at);
  return 0;
}

static nearbuf_totals totals_now(void) {
  nearbuf_totals totals = {0};
  (void)nearbuf_get_totals(&totals);
  return totals;
}

static int make_later_locators(void) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  nearbuf_buffer buffer;
  request.size_bytes = 1;
  nearbuf_status status = NEARBUF_OK;
  while (status == NEARBUF_OK && totals_now().locators < 3) {
    status = nearbuf_get(&request, &buffer);
  }
  return status == NEARBUF_OK ? 0 : 1;
}

static int obey(int signal) {
  if (signal == SIGUSR1) {
    return place_and_tell();
  }
  int error = signal == SIGHUP ? make_later_locators() : prctl(PR_SET_DUMPABLE, 0);
  printf("%u\n", (unsigned)totals_now().locators);
  return error;
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (argc > 1 && (strcmp(argv[1], "nowhere") == 0 ? forbid_files() : close_tmp()) != 0) {
    printf("refused\n");
    return 0;
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  sigaddset(&signals, SIGUSR2);
  sigaddset(&signals, SIGHUP);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  printf("ready\n");
  int which;
  while (sigwait(&signals, &which) == 0 && which != SIGTERM) {
    if (obey(which) != 0) {
      return 1;
    }
  }
  printf("0\n");
  return 0;
}

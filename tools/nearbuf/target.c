#include "target.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "text.h"

bool number_read(const char *text, uint64_t *number) {
  bool is_hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
  const char *digits = is_hexadecimal ? text + 2 : text;
  char *end;
  errno = 0;
  unsigned long long value = strtoull(digits, &end, is_hexadecimal ? 16 : 10);
  *number = value;
  /* strtoull also accepts leading spaces and signs. */
  bool starts_well = digits[0] != '\0' && strchr(" \t\n\v\f\r+-", digits[0]) == NULL;
  return starts_well && *end == '\0' && errno == 0;
}

bool target_try_again(nearbuf_status status, unsigned *tries) {
  enum { TRIES = 20, PAUSE_MS = 50 };
  if (status != NEARBUF_BUSY || *tries == TRIES) {
    return false;
  }
  *tries += 1;
  host_sleep(PAUSE_MS);
  return true;
}

static exit_code code_of(nearbuf_status status) {
  switch (status) {
  case NEARBUF_OK:
    return EXIT_DONE;
  case NEARBUF_DENIED:
    return EXIT_DENIED;
  case NEARBUF_NOT_FOUND:
    return EXIT_NOT_FOUND;
  default:
    return EXIT_FAILED;
  }
}

/* Prints why the system denies access, as far as that is visible, and what would help. */
static void print_hint(const tool_target *target) {
  if (target->info.traced_by != 0) {
    (void)fprintf(stderr, "  It is traced by process %" PRId64 "; detach that process first.\n",
                  target->info.traced_by);
  } else if (target->info.is_filtered != 0) {
    (void)fputs("  Its system calls are filtered, so it cannot be made to allocate memory.\n",
                stderr);
  }
  (void)fprintf(stderr, "  %s\n", host_denied_hint());
}

exit_code target_complain(const tool_target *target, const char *doing, nearbuf_status status) {
  exit_code code = complain(code_of(status), "process %" PRId64 ": %s: %s", target->process.id,
                            doing, nearbuf_status_text(status));
  if (target->process.system_error != 0) {
    (void)fprintf(stderr, "  The system says: %s\n", host_error_text(target->process.system_error));
  }
  if (status == NEARBUF_DENIED) {
    print_hint(target);
  }
  if (status == NEARBUF_UNSUPPORTED && target->process.address_bits > sizeof(void *) * CHAR_BIT) {
    (void)fprintf(stderr, "  It is a 64-bit process, and this is a 32-bit program: use the 64-bit "
                          "nearbuf.\n");
  }
  return code;
}

nearbuf_status target_describe(tool_target *target) {
  nearbuf_process_info *info = &target->info;
  nearbuf_status status = nearbuf_process_describe(&target->process, info);
  if (status == NEARBUF_OK && info->user_name[0] == '\0' &&
      !host_user_name(info->user, info->user_name, sizeof info->user_name)) {
    (void)snprintf(info->user_name, sizeof info->user_name, "%" PRIu64, info->user);
  }
  text_clean(info->name);
  text_clean(info->user_name);
  return status;
}

exit_code target_open(const tool_arguments *arguments, tool_target *target) {
  uint64_t id;
  memset(target, 0, sizeof *target);
  if (!number_read(arguments->positional[0], &id) || id == 0 || id > INT64_MAX) {
    return complain(EXIT_USAGE, "%s: not a process id: %s", arguments->command->name,
                    arguments->positional[0]);
  }
  nearbuf_status status = nearbuf_process_open((int64_t)id, &target->process);
  target->process.id = (int64_t)id;
  if (status == NEARBUF_OK) {
    status = target_describe(target);
  }
  if (status == NEARBUF_NOT_FOUND) {
    return complain(EXIT_NOT_FOUND, "there is no process %" PRIu64, id);
  }
  return status == NEARBUF_OK ? EXIT_DONE : target_complain(target, "cannot be opened", status);
}

void target_close(tool_target *target) {
  (void)nearbuf_process_close(&target->process);
}

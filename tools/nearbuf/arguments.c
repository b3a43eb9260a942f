/* Parses the arguments of a command according to its entry in the table. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

exit_code complain(exit_code code, const char *format, ...) {
  (void)fflush(stdout);
  (void)fputs("nearbuf: ", stderr);
  va_list values;
  va_start(values, format);
  (void)vfprintf(stderr, format, values);
  va_end(values);
  (void)fputc('\n', stderr);
  return code;
}

/* The number of values of an option. */
static int value_count(const tool_option *option) {
  int count = option->values[0] != '\0';
  for (const char *at = option->values; *at != '\0'; at++) {
    count += *at == ' ';
  }
  return count;
}

static const tool_option *find_option(const tool_command *command, const char *name) {
  for (int i = 0; i < OPTIONS_MAX && command->options[i].name != NULL; i++) {
    if (strcmp(command->options[i].name, name) == 0) {
      return &command->options[i];
    }
  }
  return NULL;
}

/* A single "-" is not an option: it stands for the standard input. */
static bool is_option(const char *word) {
  return word[0] == '-' && word[1] != '\0';
}

bool arguments_read(tool_arguments *arguments) {
  const tool_command *command = arguments->command;
  arguments->positional_count = 0;
  for (int i = 0; i < arguments->count; i++) {
    char *word = arguments->given[i];
    if (!is_option(word)) {
      if (arguments->positional_count == command->positional_max) {
        (void)complain(EXIT_USAGE, "%s: one argument too many: %s", command->name, word);
        return false;
      }
      arguments->positional[arguments->positional_count++] = word;
      continue;
    }
    const tool_option *option = find_option(command, word);
    if (option == NULL) {
      (void)complain(EXIT_USAGE, "%s: no such option: %s", command->name, word);
      return false;
    }
    i += value_count(option);
    if (i >= arguments->count) {
      (void)complain(EXIT_USAGE, "%s: %s requires %s", command->name, word, option->values);
      return false;
    }
  }
  if (arguments->positional_count < command->positional_min) {
    (void)complain(EXIT_USAGE, "usage: nearbuf %s %s", command->name, command->usage);
    return false;
  }
  return true;
}

char **arguments_option(const tool_arguments *arguments, const char *name) {
  for (int i = 0; i < arguments->count; i++) {
    if (strcmp(arguments->given[i], name) == 0) {
      return &arguments->given[i + 1];
    }
    if (is_option(arguments->given[i])) {
      i += value_count(find_option(arguments->command, arguments->given[i]));
    }
  }
  return NULL;
}

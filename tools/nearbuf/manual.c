/* The manual page, in the mdoc format, from the table of commands. docs/man/nearbuf.1 is its output,
 * and a test keeps it so. */
#include <stdio.h>
#include <string.h>

#include "command.h"

/* A minus that can be copied out of the page is written with a backslash, and every sentence starts
 * a line. */
static void print_text(const char *text) {
  for (; *text != '\0'; text++) {
    if (*text == '-') {
      (void)fputs("\\-", stdout);
    } else if (strncmp(text, ". ", 2) == 0) {
      (void)fputs(".\n", stdout);
      text++;
    } else {
      (void)putchar(*text);
    }
  }
  (void)putchar('\n');
}

static void print_option(const tool_option *option) {
  (void)fputs(".It Cm ", stdout);
  (void)fputs("\\-\\-", stdout);
  (void)fputs(option->name + strlen("--"), stdout);
  (void)printf("%s%s\n", option->values[0] != '\0' ? " Ar " : "", option->values);
  print_text(option->text);
}

static void print_command(const tool_command *command) {
  (void)printf(".It Xo\n.Nm\n.Cm ");
  print_text(command->name);
  if (command->usage[0] != '\0') {
    (void)fputs(".Li ", stdout);
    print_text(command->usage);
  }
  (void)puts(".Xc");
  print_text(command->text);
  if (command->options[0].name == NULL) {
    return;
  }
  (void)puts(".Bl -tag -width Ds -compact");
  for (int i = 0; i < OPTIONS_MAX && command->options[i].name != NULL; i++) {
    print_option(&command->options[i]);
  }
  (void)puts(".El");
}

void manual_print(void) {
  (void)printf(".\\\" Made by `nearbuf --manual`; change tools/nearbuf/commands.c instead.\n"
               ".Dd November 22, 2026\n"
               ".Dt NEARBUF 1\n"
               ".Os\n"
               ".Sh NAME\n"
               ".Nm nearbuf\n"
               ".Nd memory inside an address range: who put what where\n"
               ".Sh SYNOPSIS\n"
               ".Nm\n"
               ".Ar command\n"
               ".Op Ar argument ...\n"
               ".Sh DESCRIPTION\n"
               "The commands are:\n"
               ".Bl -tag -width Ds\n");
  for (size_t i = 0; i < command_count; i++) {
    print_command(&commands[i]);
  }
  (void)puts(".El\n.Pp\nWithout a command:\n.Bl -tag -width Ds");
  for (size_t i = 0; i < program_option_count; i++) {
    print_option(&program_options[i]);
  }
  (void)puts(".El\n.Sh EXIT STATUS\n.Bl -tag -width Ds -compact");
  for (size_t i = 0; i < exit_text_count; i++) {
    (void)printf(".It %zu\n%s\n", i, exit_texts[i]);
  }
  (void)puts(".El");
}

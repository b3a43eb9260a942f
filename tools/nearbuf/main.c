/* The inspector: finds the command in the table and runs it. */
#include <stdio.h>
#include <string.h>

#include <nearbuf/nearbuf.h>

#include "command.h"
#include "host.h"

static void print_options(const tool_option *options, size_t count) {
  for (size_t i = 0; i < count && options[i].name != NULL; i++) {
    char words[64];
    (void)snprintf(words, sizeof words, "%s %s", options[i].name, options[i].values);
    (void)printf("  %-22s %s\n", words, options[i].text);
  }
}

static void print_help(FILE *out) {
  (void)fputs("usage: nearbuf COMMAND [ARGUMENT...]\n\n", out);
  for (size_t i = 0; i < command_count; i++) {
    (void)fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
  }
  (void)fputs("\n`nearbuf COMMAND --help` shows help on a command.\n", out);
}

static void print_command_help(const tool_command *command) {
  (void)printf("usage: nearbuf %s%s%s\n\n%s\n", command->name, command->usage[0] != '\0' ? " " : "",
               command->usage, command->text);
  if (command->options[0].name != NULL) {
    (void)putchar('\n');
    print_options(command->options, OPTIONS_MAX);
  }
}

/* The options of the program itself. */
static exit_code run_program_option(const char *word) {
  if (strcmp(word, "--version") == 0) {
    (void)printf("nearbuf %d.%d.%d\n", NEARBUF_VERSION_MAJOR, NEARBUF_VERSION_MINOR,
                 NEARBUF_VERSION_PATCH);
  } else if (strcmp(word, "--manual") == 0) {
    manual_print();
  } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
    print_help(stdout);
    (void)putchar('\n');
    print_options(program_options, program_option_count);
  } else {
    return complain(EXIT_USAGE, "no such command: %s; `nearbuf --help` lists them", word);
  }
  return EXIT_DONE;
}

static exit_code run_command(const tool_command *command, int count, char **given) {
  for (int i = 0; i < count; i++) {
    if (strcmp(given[i], "--help") == 0 || strcmp(given[i], "-h") == 0) {
      print_command_help(command);
      return EXIT_DONE;
    }
  }
  tool_arguments arguments = {.command = command, .given = given, .count = count};
  return arguments_read(&arguments) ? command->run(&arguments) : EXIT_USAGE;
}

static exit_code run(int argc, char **argv) {
  if (argc < 2) {
    print_help(stderr);
    return EXIT_USAGE;
  }
  for (size_t i = 0; i < command_count; i++) {
    if (strcmp(commands[i].name, argv[1]) == 0) {
      return run_command(&commands[i], argc - 2, argv + 2);
    }
  }
  return run_program_option(argv[1]);
}

int main(int argc, char **argv) {
  host_expect_loss();
  exit_code code = run(argc, argv);
  if (fflush(stdout) != 0 && code == EXIT_DONE) {
    code = complain(EXIT_FAILED, "the output could not be written");
  }
  return (int)code;
}

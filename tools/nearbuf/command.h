/* The commands of the inspector: one table (commands.c), one file per command. Help, the manual
 * page and the parsing of arguments all use the table. */
#ifndef NEARBUF_TOOL_COMMAND_H
#define NEARBUF_TOOL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

/* What the program's exit status means. */
typedef enum exit_code {
  EXIT_DONE = 0,
  EXIT_FAILED = 1,    /* the reason is on the standard error output */
  EXIT_USAGE = 2,     /* invalid arguments */
  EXIT_DENIED = 3,    /* the system denied it */
  EXIT_NOT_FOUND = 4, /* there is no such process, locator, buffer or symbol */
} exit_code;

/* The arguments of a command, parsed by arguments_read. */
typedef struct tool_arguments {
  const struct tool_command *command;
  char **given; /* the words after the command's name */
  int count;
  char *positional[4];
  int positional_count;
} tool_arguments;

/* `values` names the values that follow the option, separated by spaces; "" if it has none. */
typedef struct tool_option {
  const char *name;
  const char *values;
  const char *text;
} tool_option;

enum { OPTIONS_MAX = 8 };

typedef struct tool_command {
  const char *name;
  const char *usage;   /* the positional arguments and the options */
  const char *summary; /* one line */
  const char *text;    /* for the command's own help; in lines that fit a terminal */
  int positional_min;
  int positional_max;
  tool_option options[OPTIONS_MAX]; /* ends at the first without a name */
  exit_code (*run)(const tool_arguments *arguments);
} tool_command;

extern const tool_command commands[];
extern const size_t command_count;

/* The options of the program itself, and what its exit statuses mean. */
extern const tool_option program_options[];
extern const size_t program_option_count;
extern const char *const exit_texts[];
extern const size_t exit_text_count;

/* Fills in `positional`. False: they are invalid, and the reason is on the standard error
 * output. */
bool arguments_read(tool_arguments *arguments);

/* The values of an option, as many as its entry names, or null if the option was not given. */
char **arguments_option(const tool_arguments *arguments, const char *name);

exit_code alloc_run(const tool_arguments *arguments);
exit_code clean_run(const tool_arguments *arguments);
exit_code demo_run(const tool_arguments *arguments);
exit_code dump_run(const tool_arguments *arguments);
exit_code free_run(const tool_arguments *arguments);
exit_code list_run(const tool_arguments *arguments);
exit_code map_run(const tool_arguments *arguments);
exit_code put_run(const tool_arguments *arguments);
exit_code self_test_run(const tool_arguments *arguments);
exit_code show_run(const tool_arguments *arguments);
exit_code watch_run(const tool_arguments *arguments);

/* Prints the manual page, generated from the table. */
void manual_print(void);

/* Prints a message on the error output, prefixed with the program's name. Returns `code`. */
__attribute__((format(printf, 2, 3))) exit_code complain(exit_code code, const char *format, ...);

#endif

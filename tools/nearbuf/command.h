/* The commands of the inspector: one table (commands.c), one file per command. Help, the manual page
 * and the reading of arguments all come from the table. */
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

/* What stands behind a command's name on the command line, read by arguments_read. */
typedef struct tool_arguments {
  const struct tool_command *command;
  char **given; /* the words behind the command's name */
  int count;
  char *positional[4];
  int positional_count;
} tool_arguments;

/* `values` names what follows the option, separated by spaces; "" where nothing does. */
typedef struct tool_option {
  const char *name;
  const char *values;
  const char *text;
} tool_option;

enum { OPTIONS_MAX = 8 };

typedef struct tool_command {
  const char *name;
  const char *usage;   /* of the positional arguments and the main options */
  const char *summary; /* a line */
  const char *text;    /* more of it, for its own help; in lines that fit a terminal */
  int positional_min;
  int positional_max;
  tool_option options[OPTIONS_MAX]; /* ends with the first that has no name */
  exit_code (*run)(const tool_arguments *arguments);
} tool_command;

extern const tool_command commands[];
extern const size_t command_count;

/* The options that the program itself knows, and what its exit statuses mean. */
extern const tool_option program_options[];
extern const size_t program_option_count;
extern const char *const exit_texts[];
extern const size_t exit_text_count;

/* Fills in `positional`. False: they are invalid, and the reason is on the standard error output. */
bool arguments_read(tool_arguments *arguments);

/* The words behind an option, which are as many as its entry names, or null where it is not given. */
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

/* The manual page, made from the table. */
void manual_print(void);

/* Says on the error output what is wrong, with the program's name before it. Answers `code`. */
__attribute__((format(printf, 2, 3))) exit_code complain(exit_code code, const char *format, ...);

#endif

/* The table of commands. */
#include "command.h"

const tool_command commands[] = {
    {
        .name = "demo",
        .usage = "",
        .summary = "show the library at work on a function of the C library",
        .text = "Detours getenv by a jump to a stub placed within reach of it, shares the stub's\n"
                "buffer with a plug-in that has its own copy of the library, places data below\n"
                "2 GiB, takes and frees private memory, and puts back what it changed. The exit\n"
                "status is 0 only if all that it prints was checked.",
        .run = demo_run,
    },
    {
        .name = "self-test",
        .usage = "",
        .summary = "check that the library works on this machine",
        .text = "Uses every part of the library in this process and prints a line for each. The\n"
                "exit status is 0 only if all of them held.",
        .run = self_test_run,
    },
};
const size_t command_count = sizeof commands / sizeof *commands;

const tool_option program_options[] = {
    {"--help", "", "print what there is to know; after a command: about that command"},
    {"--version", "", "print the version"},
    {"--manual", "", "print the manual page, in the format of man"},
};
const size_t program_option_count = sizeof program_options / sizeof *program_options;

const char *const exit_texts[] = {
    [EXIT_DONE] = "It is done.",
    [EXIT_FAILED] = "It failed; what went wrong stands on the error output.",
    [EXIT_USAGE] = "The arguments make no sense.",
    [EXIT_DENIED] = "The system refused it.",
    [EXIT_NOT_FOUND] = "There is no such process, locator, buffer or symbol.",
};
const size_t exit_text_count = sizeof exit_texts / sizeof *exit_texts;

/* The table of commands. */
#include "command.h"

#define OPTION_JSON                                                                                \
  { "--json", "", "write JSON; docs/nearbuf.schema.json describes it" }
#define OPTION_NEAR                                                                                \
  { "--near", "PLACE", "an address, a module or module+offset, or an exported symbol" }
#define OPTION_RANGE                                                                               \
  { "--range", "MIN MAX", "the first and the last address that will do" }
#define OPTION_ALIGN                                                                               \
  { "--align", "N", "align to N, a power of two; otherwise 16" }

const tool_command commands[] = {
    {
        .name = "list",
        .usage = "[--json]",
        .summary = "list the processes that have buffers",
        .text =
            "A line for each process that has buffers and lets us look: its id, name and owner,\n"
            "how many locators and buffers it has, how much of them is used, and the dialect of\n"
            "its first locator. Files of locators whose process is dead are marked.",
        .options = {OPTION_JSON},
        .run = list_run,
    },
    {
        .name = "show",
        .usage = "PROCESS [--json]",
        .summary = "show a process's locators and buffers",
        .text =
            "The fields of each locator; for each buffer its address, size, bytes used, whether\n"
            "somebody holds it, its protection, and the module nearest to it. What is damaged is\n"
            "named. Nothing is changed or locked.",
        .positional_min = 1,
        .positional_max = 1,
        .options = {OPTION_JSON},
        .run = show_run,
    },
    {
        .name = "map",
        .usage = "PROCESS [--near PLACE] [--svg FILE | --json]",
        .summary = "draw a process's address space",
        .text =
            "What is where, from low to high: modules, buffers, heap, stack, and what is free\n"
            "between. With --near only what a jump reaches from there, and first all of that to\n"
            "one scale.",
        .positional_min = 1,
        .positional_max = 1,
        .options = {OPTION_NEAR,
                    {"--svg", "FILE", "write a picture for a browser instead"},
                    OPTION_JSON},
        .run = map_run,
    },
    {
        .name = "dump",
        .usage = "PROCESS PLACE [LENGTH] [--json]",
        .summary = "show bytes of a process",
        .text =
            "LENGTH bytes, 64 if it is not given, from an address, a module, module+offset or an\n"
            "exported symbol on; and what they say as x86 instructions, if they may be run and\n"
            "the program was built with Zydis.",
        .positional_min = 2,
        .positional_max = 3,
        .options = {OPTION_JSON},
        .run = dump_run,
    },
    {
        .name = "put",
        .usage = "PROCESS (--near PLACE | --range MIN MAX) [--align N] [--json] FILE",
        .summary = "append a file's bytes to a buffer of a process",
        .text =
            "Puts the bytes where a jump from PLACE reaches them, or into the range, and prints\n"
            "their address. FILE may be - for the standard input. Where no buffer of the process\n"
            "has room, one is made in it. What was put stays until the process ends.",
        .positional_min = 2,
        .positional_max = 2,
        .options = {OPTION_NEAR, OPTION_RANGE, OPTION_ALIGN, OPTION_JSON},
        .run = put_run,
    },
    {
        .name = "alloc",
        .usage = "PROCESS (--near PLACE | --range MIN MAX) [--align N] [--json] SIZE",
        .summary = "take private memory in a process",
        .text =
            "Maps SIZE bytes, rounded up to pages, that can be read, written and run, and prints\n"
            "their address and true size.",
        .positional_min = 2,
        .positional_max = 2,
        .options = {OPTION_NEAR, OPTION_RANGE, OPTION_ALIGN, OPTION_JSON},
        .run = alloc_run,
    },
    {
        .name = "free",
        .usage = "PROCESS ADDRESS SIZE [--json]",
        .summary = "give back what alloc took",
        .text =
            "ADDRESS and SIZE are what alloc printed. The size must be said because the system\n"
            "joins neighbours into one mapping. Memory that a locator lists is refused.",
        .positional_min = 3,
        .positional_max = 3,
        .options = {OPTION_JSON},
        .run = free_run,
    },
    {
        .name = "watch",
        .usage = "PROCESS [--interval MS] [--count N] [--json]",
        .summary = "watch a process's buffers grow",
        .text =
            "Looks every second, and tells the sums, what was added, and which buffers are held\n"
            "and for how long they have been seen held. A lock names no owner; a buffer that was\n"
            "free between two looks counts as held. Ends with the process.",
        .positional_min = 1,
        .positional_max = 1,
        .options = {{"--interval", "MS", "look again after so many milliseconds"},
                    {"--count", "N", "look so many times, then end"},
                    OPTION_JSON},
        .run = watch_run,
    },
    {
        .name = "clean",
        .usage = "[--json]",
        .summary = "remove the files that dead processes left",
        .text = "Removes those files of locators that are proved to be nobody's, and says which.",
        .options = {OPTION_JSON},
        .run = clean_run,
    },
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

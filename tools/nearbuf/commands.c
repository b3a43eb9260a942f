/* The table of commands. */
#include "command.h"

#define OPTION_JSON                                                                                \
  { "--json", "", "write JSON; docs/nearbuf.schema.json describes it" }
#define OPTION_NEAR                                                                                \
  { "--near", "PLACE", "an address, a module or module+offset, or an exported symbol" }
#define OPTION_RANGE                                                                               \
  { "--range", "MIN MAX", "the first and the last address of the range" }
#define OPTION_ALIGN                                                                               \
  { "--align", "N", "align to N, a power of two; by default 16" }

const tool_command commands[] = {
    {
        .name = "list",
        .usage = "[--json]",
        .summary = "list the processes that have buffers",
        .text =
            "One line for each process that has buffers and can be inspected: its id, name and\n"
            "owner, the number of its locators and buffers, how much of them is used, and the\n"
            "dialect of its first locator. Files of locators whose process is dead are marked.",
        .options = {OPTION_JSON},
        .run = list_run,
    },
    {
        .name = "show",
        .usage = "PROCESS [--json]",
        .summary = "show a process's locators and buffers",
        .text =
            "The fields of each locator; for each buffer its address, size, bytes used, whether\n"
            "it is held, its protection, and the module nearest to it. Damage is reported.\n"
            "Nothing is changed or locked.",
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
            "What is mapped, from low to high addresses: modules, buffers, heap, stack, and the\n"
            "free addresses between them. With --near only within reach of a jump from there, and\n"
            "before that an overview to one scale.",
        .positional_min = 1,
        .positional_max = 1,
        .options = {OPTION_NEAR, {"--svg", "FILE", "write an SVG picture instead"}, OPTION_JSON},
        .run = map_run,
    },
    {
        .name = "dump",
        .usage = "PROCESS PLACE [LENGTH] [--json]",
        .summary = "show bytes of a process",
        .text =
            "LENGTH bytes, 64 by default, from an address, a module, module+offset or an exported\n"
            "symbol on; also as x86 instructions, if they can be executed and the program was\n"
            "built with Zydis.",
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
            "their address. FILE may be - for the standard input. If no buffer of the process\n"
            "has room, one is made in it. The bytes stay until the process ends.",
        .positional_min = 2,
        .positional_max = 2,
        .options = {OPTION_NEAR, OPTION_RANGE, OPTION_ALIGN, OPTION_JSON},
        .run = put_run,
    },
    {
        .name = "alloc",
        .usage = "PROCESS (--near PLACE | --range MIN MAX) [--align N] [--json] SIZE",
        .summary = "allocate private memory in a process",
        .text =
            "Maps SIZE bytes, rounded up to pages, that can be read, written and executed, and\n"
            "prints their address and actual size.",
        .positional_min = 2,
        .positional_max = 2,
        .options = {OPTION_NEAR, OPTION_RANGE, OPTION_ALIGN, OPTION_JSON},
        .run = alloc_run,
    },
    {
        .name = "free",
        .usage = "PROCESS ADDRESS SIZE [--json]",
        .summary = "free what alloc allocated",
        .text =
            "ADDRESS and SIZE are what alloc printed. The size is needed because the system joins\n"
            "neighbours into one mapping. Memory that a locator lists is refused.",
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
            "Reports every second the totals, what was added, and which buffers are held and for\n"
            "how long they have been seen held. A lock does not name its owner; a buffer that was\n"
            "released and taken again between two reports counts as held. Ends when the process\n"
            "does.",
        .positional_min = 1,
        .positional_max = 1,
        .options = {{"--interval", "MS", "milliseconds between two reports; by default 1000"},
                    {"--count", "N", "end after N reports"},
                    OPTION_JSON},
        .run = watch_run,
    },
    {
        .name = "clean",
        .usage = "[--json]",
        .summary = "remove the files that dead processes left",
        .text =
            "Removes the files of locators whose process is proved dead, and prints their names.",
        .options = {OPTION_JSON},
        .run = clean_run,
    },
    {
        .name = "demo",
        .usage = "",
        .summary = "show the library at work on a function of the C library",
        .text =
            "Detours getenv by a jump to a stub placed within reach of it, shares the stub's\n"
            "buffer with a plug-in that has its own copy of the library, places data below\n"
            "2 GiB, allocates and frees private memory, and restores what it changed. The exit\n"
            "status is 0 only if everything that it prints was checked.",
        .run = demo_run,
    },
    {
        .name = "self-test",
        .usage = "",
        .summary = "check that the library works on this machine",
        .text = "Uses every part of the library in this process and prints a line for each. The\n"
                "exit status is 0 only if all of them worked.",
        .run = self_test_run,
    },
};
const size_t command_count = sizeof commands / sizeof *commands;

const tool_option program_options[] = {
    {"--help", "", "show help; after a command: help for that command"},
    {"--version", "", "show the version"},
    {"--manual", "", "write the manual page, in mdoc format"},
};
const size_t program_option_count = sizeof program_options / sizeof *program_options;

const char *const exit_texts[] = {
    [EXIT_DONE] = "Success.",
    [EXIT_FAILED] = "Failure; the reason is on the standard error output.",
    [EXIT_USAGE] = "Invalid arguments.",
    [EXIT_DENIED] = "The system denied it.",
    [EXIT_NOT_FOUND] = "No such process, locator, buffer or symbol.",
};
const size_t exit_text_count = sizeof exit_texts / sizeof *exit_texts;

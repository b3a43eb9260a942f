#!/usr/bin/env python3
"""Follows one get of a new region through the sources, on Linux.

  python3 scripts/trace [--list] [--check]

Builds the library with gcc's -finstrument-functions, runs scripts/trace/program.c, and counts what is not
in base/ or in a header:

  files   that the way passes;
  steps   from one file to another, each once: what a loop repeats is read once;
  climbs  the steps that are not a call by the file where the reader is: one has to go back to a caller.

--list prints the way. --check fails where there are more than 10 files or 15 climbs, on a kernel that answers
queries of the memory map (6.11): on others the way passes the parsers of its text, too.
"""

import glob
import os
import subprocess
import sys
import tempfile

MOST_FILES, MOST_CLIMBS = 10, 15
FOLDERS = ["api", "base", "core", "os", "os/linux", "os/posix"]


def build(work):
    sources = [name for folder in FOLDERS for name in sorted(glob.glob(f"src/{folder}/*.c"))
               if not name.endswith("/reloaded.c")]
    program = os.path.join(work, "trace")
    # The file of a header's function that is inlined would be the one that includes it.
    subprocess.run(["gcc", "-std=c17", "-g", "-O1", "-no-pie", "-finstrument-functions",
                    "-finstrument-functions-exclude-file-list=.h", "-D_GNU_SOURCE", "-DNEARBUF_STATIC",
                    "-Iinclude", "-Isrc", "-o", program, *sources, "scripts/trace/program.c", "-lpthread"],
                   check=True)
    return program


def places(program, addresses):
    """The source file of each function and its name."""
    out = subprocess.run(["addr2line", "-f", "-e", program], input="\n".join(addresses), check=True,
                         capture_output=True, text=True).stdout.split("\n")
    files = [line.rsplit(":", 1)[0].rsplit("/src/", 1)[-1] for line in out[1::2]]
    return dict(zip(addresses, zip(files, out[0::2])))


def is_counted(file):
    return file.endswith(".c") and not file.startswith("base/")


def follow(events, place):
    """The steps: from which file, to which, its function, and whether it is a climb."""
    stack, steps, here = [], [], None
    for kind, address in events:
        file, name = place[address]
        if not is_counted(file):
            continue
        if kind == "<":
            stack.pop()
            continue
        caller = stack[-1] if stack else None
        if file != here:
            steps.append((here, file, name, caller != here))
        stack.append(file)
        here = file
    return list(dict.fromkeys(steps))


def main(options):
    with tempfile.TemporaryDirectory() as work:
        program = build(work)
        lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split("\n")
        events = [tuple(line.split(" ")) for line in lines if line]
        place = places(program, sorted({address for _, address in events}))
    steps = follow(events, place)
    files = {file for _, file, _, _ in steps}
    climbs = sum(is_climb for _, _, _, is_climb in steps)
    if "--list" in options:
        for _, file, name, is_climb in steps:
            print(f"{'^' if is_climb else ' '} {file:20} {name}")
    print(f"{len(files)} files, {len(steps)} steps, {climbs} climbs")
    if "--check" not in options:
        return 0
    if "os/linux/maps_text.c" in files:
        print("not checked: this kernel answers no queries of the memory map")
        return 0
    return 1 if len(files) > MOST_FILES or climbs > MOST_CLIMBS else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

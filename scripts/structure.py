#!/usr/bin/env python3
"""Checks what a script can see of the structure that docs/overview.md describes.

  scripts/structure.py [check...]   all checks, or some of: includes circles compiler statics columns

includes  A file of src/ includes only what its folder may see.
circles   No file, taken together with its header, leads back to itself by includes.
compiler  Extensions of a compiler stand in base/compiler.h and in ports.
statics   No two static functions of one library, or of the tool, have one name: the sources compile
          as one file.
columns   No line of a source or a document is longer than 100 columns.
"""

import re
import subprocess
import sys

INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)
EXTENSION = re.compile(r"__attribute__|__builtin_\w+|__asm__|__declspec")
STATIC = re.compile(r"^static (?:inline )?(?!_Atomic|const )[\w \*]*?\b(\w+)\(", re.MULTILINE)

# For each folder of src/, the folders whose headers it may include; "os" means the headers directly
# in it.
MAY_SEE = {
    "base": {"base"},
    "os": {"base", "os"},
    "os/posix": {"base", "os", "os/posix"},
    "os/linux": {"base", "os", "os/posix", "os/linux"},
    "os/bsd": {"base", "os", "os/posix", "os/bsd"},
    "os/windows": {"base", "os", "os/windows"},
    "core": {"base", "os", "core"},
    "api": {"base", "os", "core", "api"},
    "remote": {"base", "os", "remote"},
    "remote/none": {"base", "os", "remote", "remote/none"},
    "remote/linux": {"base", "os", "os/posix", "os/linux", "remote", "remote/linux"},
    "remote/windows": {"base", "os", "os/windows", "remote", "remote/windows"},
}
LONGEST = {".c": 100, ".h": 100, ".md": 100}


def files(*folders):
    """The files of the folders that git knows, and that are there."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *folders], check=True,
                           capture_output=True, text=True).stdout.split("\n")
    return [name for name in names if name]


def read(name):
    with open(name, encoding="utf-8") as file:
        return file.read()


def folder(name):
    return name.rsplit("/", 1)[0]


def sources():
    """The C files of src/, below it, and what each includes of them."""
    names = [name[len("src/"):] for name in files("src") if name.endswith((".c", ".h"))]
    return {name: INCLUDE.findall(read(f"src/{name}")) for name in names}


def check_includes():
    known = sources()
    for name, included in known.items():
        for other in included:
            if other not in known:
                yield f"src/{name}: {other} is not below src/"
            elif folder(name) not in MAY_SEE:
                yield f"src/{name}: no rule for {folder(name)}/"
            elif folder(other) not in MAY_SEE[folder(name)]:
                yield f"src/{name}: {folder(name)}/ does not see {other}"


def check_circles():
    known = sources()
    leads_to = {}
    for name, included in known.items():
        stem = name.rsplit(".", 1)[0]
        others = {other.rsplit(".", 1)[0] for other in included}
        leads_to.setdefault(stem, set()).update(others - {stem})
    done = set()

    def visit(stem, path):
        if stem in path:
            yield " -> ".join([*path[path.index(stem):], stem])
        elif stem not in done:
            for other in sorted(leads_to.get(stem, ())):
                yield from visit(other, [*path, stem])
            done.add(stem)

    for stem in sorted(leads_to):
        yield from visit(stem, [])


def check_compiler():
    for name in files("src"):
        is_port = name.count("/") == 3 or name.startswith("src/os/")
        if name.endswith((".c", ".h")) and not is_port and name != "src/base/compiler.h":
            for word in set(EXTENSION.findall(read(name))):
                yield f"{name}: {word}"


def check_statics():
    """One system at a time: ports that are never built together may share names."""
    ports = {"Linux": ("posix", "linux"), "BSD": ("posix", "bsd"), "Windows": ("windows",)}
    for system, folders in ports.items():
        where = {}
        for name in files("src", "tools"):
            parts = name.split("/")
            is_other_port = len(parts) == 4 and parts[2] not in folders
            is_windows = parts[-1].startswith("host_windows")
            is_other_host = (parts[-1].startswith("host_")
                             and is_windows != (system == "Windows"))
            if not name.endswith(".c") or is_other_port or is_other_host or "_none" in name:
                continue
            library = ("tool" if parts[0] == "tools" else "remote" if parts[1] == "remote"
                       else "reloaded" if "reloaded" in name else "core")
            text = read(name)
            for function in set(STATIC.findall(text)):
                where.setdefault((library, function), []).append(name)
        for (_, function), names in sorted(where.items()):
            is_one_system = not {"src/os/bsd/freebsd.c", "src/os/bsd/macos.c"} <= set(names)
            if len(names) > 1 and is_one_system:
                yield f"{system}: {function} is static in {', '.join(names)}"


def check_columns():
    for name in files("include", "src", "tools", "tests", "bench", "examples", "docs", "*.md"):
        longest = LONGEST.get(name[name.rfind("."):])
        if longest is None or name.startswith("tests/fuzz/corpus"):
            continue
        for number, line in enumerate(read(name).split("\n"), 1):
            if len(line) > longest and "](http" not in line and "|" not in line:
                yield f"{name}:{number}: {len(line)} columns"


CHECKS = {"includes": check_includes, "circles": check_circles, "compiler": check_compiler,
          "statics": check_statics,
          "columns": check_columns}


def main(wanted):
    failed = 0
    for name in wanted or CHECKS:
        for fault in CHECKS[name]():
            print(f"{name}: {fault}")
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

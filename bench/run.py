#!/usr/bin/env python3
"""Runs the benchmarks and writes what they say: JSON, a table, and plots.

    run.py PROGRAMS [--quick] [--docs DIRECTORY]

PROGRAMS is the folder of the built peers; results go to its subfolder results/, and with --docs to
that directory, too; then what the page beside it (DIRECTORY.md) says of them is written anew. Every
figure is the median of several processes, and the peers take turns within
a round, so that what disturbs the machine disturbs all of them; compare figures of one run only.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

import report
from report import HELD, MAPPINGS, MODULES, THREADS

HERE = pathlib.Path(__file__).resolve().parent
PEERS = ["nearbuf", "drop-in", "reference", "bump", "mmap", "asmjit", "libffi"]
OURS = PEERS[:2]
DEAD_FILES = 10000
STARTS = 50  # of two threads at the same time


class Missing(Exception):
    """A peer cannot do the work; the text says why."""


class Suite:
    def __init__(self, programs, rounds):
        self.programs = programs
        self.rounds = rounds
        self.environment = dict(os.environ)
        self.skipped = {}
        self.figures = {}
        self.own_tmp = own_tmp(0) or []

    def start_peers(self):
        library, why = build_reference(self.programs / "reference-crate")
        if library is not None:
            self.environment["BENCH_REFERENCE"] = str(library)
        for peer in PEERS:
            if not self.program(peer).exists():
                self.skipped[peer] = "its development package is not installed"
        if why is not None:
            self.skipped["reference"] = why

    def program(self, peer):
        """The drop-in library does the work by the program of the library that it replaces."""
        return self.programs / ("reference" if peer == "drop-in" else peer)

    def environment_of(self, peer):
        if peer != "drop-in":
            return self.environment
        return {**self.environment,
                "BENCH_REFERENCE": str(self.programs.parent / "libnearbuf_reloaded.so")}

    def peers(self):
        return [peer for peer in PEERS if peer not in self.skipped]

    def run(self, peer, work, before=None):
        """One process: what it printed. It gets a /tmp of its own where that is possible: the
        reference crashes over what a dead process with the same id left there."""
        command = [*(self.own_tmp if before is None else before), str(self.program(peer)), *map(str, work)]
        done = subprocess.run(command, env=self.environment_of(peer), capture_output=True, text=True)
        if done.returncode == 3:
            raise Missing(done.stderr.strip())
        if done.returncode < 0 and peer not in OURS:
            raise Missing(f"it ended with signal {-done.returncode}")
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)

    def measure(self, key, peers, work, rounds=None, before=None, program=None):
        """Lets the peers take turns and keeps medians and spreads of all that they print. Where one
        program does the work of all, `work` names what each is given."""
        print(f"  {key}", file=sys.stderr, flush=True)
        samples = {peer: [] for peer in peers if peer not in self.skipped}
        missing = {}
        for _ in range(rounds or self.rounds):
            for peer in samples:
                if peer not in missing:
                    try:
                        given = work if program is None else work[peer]
                        samples[peer].append(self.run(program or peer, given, before))
                    except Missing as reason:
                        missing[peer] = str(reason)
        of_key = self.figures.setdefault(key, {})
        for peer, results in samples.items():
            if peer in missing:
                of_key[peer] = {"missing": missing[peer]}
            else:
                of_key[peer] = {name: summary([r[name] for r in results]) for name in results[0]}


def summary(values):
    ordered = sorted(values)
    quarter = len(ordered) // 4
    return {
        "median": statistics.median(ordered),
        "least": ordered[0],
        "low": ordered[quarter],
        "high": ordered[-1 - quarter],
        "runs": len(ordered),
    }


def build_reference(folder):
    """The library of the Rust reference, or why there is none."""
    if shutil.which("cargo") is None:
        return None, "cargo is not installed"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("Cargo.toml", "lib.rs"):
        shutil.copy(HERE / "rust" / name, folder / name)
    done = subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=folder,
                          capture_output=True, text=True)
    library = folder / "target/release/libbench_reference.so"
    if done.returncode != 0 or not library.exists():
        return None, "cargo could not build it: " + (done.stderr.strip().splitlines() or ["?"])[-1]
    return library, None


def own_tmp(dead_files):
    """A command prefix that gives a program a /tmp of its own with files of dead processes in it."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return None
    make = ("mount -t tmpfs none /tmp && mkdir -p -m 1777 /tmp/.reloaded/memory.buffers && "
            "cd /tmp/.reloaded/memory.buffers && i=0 && "
            f"while [ $i -lt {dead_files} ]; do "
            ": > \"Reloaded.Memory.Buffers.MemoryBuffer, PID $((2000000000 + i))\"; "
            "i=$((i + 1)); done && exec \"$0\" \"$@\"")
    return ["unshare", "-m", "sh", "-c", make]


def measure_table(suite):
    """The work of the table in docs/performance.md."""
    shared = [*OURS, "reference", "bump"]
    suite.measure("get and release", shared, ["warm"])
    suite.measure("append 16 bytes", shared, ["append"])
    for layout, mappings in (("none", 0), ("scattered", 10000), ("wall", 10000)):
        suite.measure(f"place 64 bytes, {layout}", PEERS, ["place", layout, mappings])
        suite.measure(f"room for 4096 bytes, {layout}", PEERS, ["room", layout, mappings])
    suite.measure("place 64 bytes, populated", ["nearbuf", "bump"],
                  ["place", "none", 0, "populate"])
    suite.measure("first touch of a page", ["bump"], ["touch"])
    for dead_files in (0, DEAD_FILES):
        before = own_tmp(dead_files)
        if before is not None:
            suite.measure(f"first call, {dead_files} dead files", [*OURS, "reference"],
                          ["first"], before=before)


def measure_growth(suite):
    for mappings in MAPPINGS:
        work = [["region", "scattered", mappings], ["place", "scattered", mappings]]
        suite.measure(f"region, {mappings} mappings", ["nearbuf", "reference", "mmap", "bump"], work[0],
                      rounds=3)
        suite.measure(f"place, {mappings} mappings", ["nearbuf", "bump"], work[1])
    for held in HELD:
        suite.measure(f"one more, {held} held", ["nearbuf", "reference"], ["held", held], rounds=3)
    for threads in THREADS:
        suite.measure(f"get and release, {threads} threads", ["nearbuf", "reference", "bump"],
                      ["threads", threads])
    suite.measure(report.STARTS_KEY, [*OURS, "reference"], ["threads", 2], rounds=STARTS)


def measure_modules(suite):
    """Many modules, each with a copy of its own: of this library, of the reference."""
    originals = {"nearbuf": suite.programs / "module.so",
                 "reference": suite.environment.get("BENCH_REFERENCE")}
    with tempfile.TemporaryDirectory(dir=suite.programs) as folder:
        copies = {peer: [shutil.copy(original, f"{folder}/{peer}{i}.so") for i in range(MODULES)]
                  for peer, original in originals.items() if original is not None}
        suite.measure(f"{MODULES} modules", list(copies), copies, program="modules")


def measure_stops(suite):
    """How long another process stands still while memory is made in it."""
    for kind in ("quiet", "busy"):
        suite.measure(f"another process stands still, {kind}", ["stop"], [kind, 500])


def describe_machine():
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=HERE,
                            capture_output=True, text=True).stdout.strip()
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8")
                  if line.startswith("model name")), platform.machine())
    return {"kernel": platform.release(), "processor": model, "processors": os.cpu_count(),
            "commit": commit or "unknown", "load": os.getloadavg()[0]}


def text_of_library(programs):
    """Bytes of code in the shared library; None where binutils are missing."""
    library = programs.parent / "libnearbuf.so"
    if shutil.which("size") is None or not library.exists():
        return None
    done = subprocess.run(["size", str(library)], capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[1].split()[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true", help="three rounds instead of nine")
    parser.add_argument("--docs", type=pathlib.Path, help="also write the results there")
    options = parser.parse_args()

    suite = Suite(options.programs.resolve(), 3 if options.quick else 9)
    machine = describe_machine()
    suite.start_peers()
    measure_table(suite)
    measure_growth(suite)
    measure_modules(suite)
    measure_stops(suite)

    results = {"machine": machine, "text_bytes": text_of_library(suite.programs),
               "skipped": suite.skipped, "figures": suite.figures}
    for folder in filter(None, (suite.programs / "results", options.docs)):
        report.write(results, suite.peers(), folder)
    if options.docs:
        report.write_page(results, options.docs.with_suffix(".md"))


if __name__ == "__main__":
    main()

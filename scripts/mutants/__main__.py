"""Changes the product in one place at a time and sees whether a test notices. See docs/testing.md."""

import argparse
import datetime
import json
import math
import os
import random
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import coverage as coverage_of
import report
import source
import tree as trees
from worker import NOT_COVERED, SURVIVED, UNFINISHED, Result, Worker

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.path.join(TOP, "build", "mutants")
ACCEPTED = os.path.join(TOP, "scripts", "mutants", "accepted.txt")


HEAD = """\
# What the tests notice

Written by `make mutants`; docs/testing.md tells how it works. A row counts changes of one operator,
constant, condition, status or statement, made one at a time. *Killed*: a test failed. *Equivalent*:
shown below to change nothing; these do not count. The score is the share of the killed among the
others."""


def read_arguments():
    parser = argparse.ArgumentParser(prog="scripts/mutants.sh", description=__doc__)
    parser.add_argument("--sample", type=int, default=400, help="how many mutants (default: 400)")
    parser.add_argument("--seed", default=datetime.date.today().isoformat(),
                        help="what decides which (default: today's date)")  # fmt: skip
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time")
    parser.add_argument("--changed", metavar="BASE", help="only lines that differ from this commit")
    parser.add_argument("--only", metavar="PATTERN", help="only mutants whose description matches")
    parser.add_argument("--survivors", metavar="FILE", help="those that a file of results says survived")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop then, and report the results so far")
    parser.add_argument("--patience", type=float, metavar="SECONDS", default=math.inf,
                        help="leave a mutant that nothing noticed by then")  # fmt: skip
    parser.add_argument("--report", metavar="FILE", help="write the report here")
    parser.add_argument("--list", action="store_true", help="show what would be tried, and stop")
    return parser.parse_args()


def say(text):
    print(f"{time.monotonic() - START:6.0f} s  {text}", flush=True)


def changed_lines(base):
    """The lines that a diff from base adds or changes, as (file, line)."""
    command = ["git", "diff", "-U0", "--no-color", base, "--", "src", "tools"]
    diff = subprocess.run(command, cwd=TOP, check=True, capture_output=True, text=True).stdout
    lines, file = set(), None
    for text in diff.splitlines():
        if text.startswith("+++ "):
            file = text[6:]
        hunk = re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", text)
        if hunk:
            first, count = int(hunk[1]), int(hunk[2] or 1)
            lines |= {(file, line) for line in range(first, first + count)}
    return lines


def choose(arguments, sources):
    """The mutants to try, one file after the other: what is left of a file then is built only once."""
    mutants = [mutant for _, each in sorted(sources.items()) for mutant in each.mutants]
    if arguments.changed:
        lines = changed_lines(arguments.changed)
        mutants = [mutant for mutant in mutants if (mutant.file, mutant.line) in lines]
    if arguments.survivors:
        wanted = {each.key for each in read_results(arguments.survivors).values()
                  if each.result in (SURVIVED, NOT_COVERED)}  # fmt: skip
        mutants = [mutant for mutant in mutants if mutant.key(sources[mutant.file].text) in wanted]
    if arguments.only:
        mutants = [mutant for mutant in mutants
                   if re.search(arguments.only, mutant.key(sources[mutant.file].text))]  # fmt: skip
    say(f"{len(mutants)} mutants to choose from")
    if len(mutants) > arguments.sample:
        mutants = random.Random(arguments.seed).sample(mutants, arguments.sample)
    return sorted(mutants, key=lambda mutant: (mutant.file, mutant.start, mutant.replacement))


def read_results(path):
    results = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            for line in file:
                result = Result(**json.loads(line))
                results[result.key] = result
    return results


class Run:
    """Hands out mutants to the workers, a file at a time, and writes down what became of them."""

    def __init__(self, path, mutants, sources, deadline):
        self.path = path
        self.sources = sources
        self.deadline = deadline
        self.results = read_results(path)
        self.total = len(mutants)
        self.lock = threading.Lock()
        waiting = [each for each in mutants if each.key(sources[each.file].text) not in self.results]
        self.done = self.total - len(waiting)
        self.queue = {}
        for mutant in waiting:
            self.queue.setdefault(mutant.file, []).append(mutant)

    def next(self, file):
        """The next of the file that this worker has in hand, else of the file with the most left."""
        with self.lock:
            if not self.queue or time.monotonic() > self.deadline:
                return None
            if file not in self.queue:
                file = max(self.queue, key=lambda each: len(self.queue[each]))
            mutant = self.queue[file].pop(0)
            if not self.queue[file]:
                del self.queue[file]
            return mutant

    def note(self, mutant, result):
        with self.lock:
            self.done += 1
            if result.result != UNFINISHED:
                self.results[result.key] = result
                with open(self.path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(result.as_dict()) + "\n")
            by = f" by {result.test}" if result.test else ""
            say(f"[{self.done}/{self.total}] {mutant.file}:{mutant.line} {mutant.operator}: "
                f"{result.result}{by} ({result.seconds} s)")  # fmt: skip
            if result.result in (SURVIVED, NOT_COVERED, UNFINISHED):
                print("\n".join("          " + line for line in result.key.split("\n")[1:]), flush=True)

    def work(self, worker, unusable):
        file = None
        while (mutant := self.next(file)) is not None:
            file = mutant.file
            result = worker.try_mutant(mutant, unusable)
            self.note(mutant, result)


def get_coverage(sources, probes, state, jobs):
    path = os.path.join(BUILD, f"coverage-{state}.json")
    if not os.path.exists(path):
        known = os.path.join(BUILD, f"reached-{trees.fingerprint(TOP, trees.PRODUCT)}.jsonl")
        coverage_of.save(path, coverage_of.measure(sources, probes, jobs, say, known))
    return coverage_of.load(path)


def try_all(run, units, sources, coverage, jobs, patience):
    """Builds a tree for each worker, and lets them work."""
    kills = {}
    folders = [os.path.join(BUILD, f"worker-{job}") for job in range(jobs)]
    say("building")
    times = (run.deadline, patience)
    with ThreadPoolExecutor(jobs) as pool:
        workers = list(pool.map(
            lambda folder: Worker(trees.Tree(TOP, folder), sources, coverage, kills, times), folders))
        for worker in workers:
            worker.note_outputs(units)
        unusable = workers[0].drop_unusable(coverage.failed)
        if unusable:
            say(f"left out, for they fail here without a change: {' '.join(sorted(unusable))}")
        list(pool.map(lambda worker: run.work(worker, unusable), workers))


def tell_of_unmatched(accepted, sources):
    """Prints the accepted changes that can no longer be made: their line was changed, or is gone."""
    files = {key.split(" ", 1)[0] for key in accepted} & set(sources)
    possible = {mutant.key(sources[file].text) for file in files for mutant in sources[file].mutants}
    unmatched = sorted(set(accepted) - possible)
    if unmatched:
        say(f"{len(unmatched)} of {os.path.relpath(ACCEPTED, TOP)} match no line any more; mend or remove them:")
    for key in unmatched:
        print("\n".join("          " + line for line in key.split("\n")), flush=True)
    return unmatched


def describe(arguments, results, sources):
    """The head of the report."""
    count = sum(len(each.mutants) for each in sources.values())
    tried = f"{len(results)} of {count} possible changes, seed `{arguments.seed}`"
    return [*HEAD.split("\n"), "", f"{tried}."]


def main():
    arguments = read_arguments()
    os.makedirs(BUILD, exist_ok=True)
    state = trees.fingerprint(TOP)
    probes = trees.Tree(TOP, os.path.join(BUILD, "probes"))
    probes.update()
    probes.configure()
    units = source.read_units(probes.files, probes.build)
    sources = source.read_sources(TOP, [source.moved(unit, probes.files, TOP) for unit in units])
    accepted = report.read_accepted(ACCEPTED)
    unmatched = tell_of_unmatched(accepted, sources)
    mutants = choose(arguments, sources)
    if arguments.list or not mutants:
        print("\n\n".join(mutant.key(sources[mutant.file].text) for mutant in mutants))
        return 0
    deadline = START + 60 * arguments.minutes
    run = Run(os.path.join(BUILD, f"results-{state}.jsonl"), mutants, sources, deadline)
    if run.queue:
        coverage = get_coverage(sources, probes, state, arguments.jobs)
        try_all(run, units, sources, coverage, arguments.jobs, arguments.patience)
    wanted = {mutant.key(sources[mutant.file].text) for mutant in mutants}
    results = [result for key, result in run.results.items() if key in wanted]
    say(f"{len(results)} of {len(mutants)} tried: {report.summary(results, accepted)}")
    if arguments.report:
        is_of_all = not (arguments.changed or arguments.only or arguments.survivors)
        report.write(arguments.report, results, accepted, describe(arguments, results, sources), is_of_all)
    return 1 if unmatched and not arguments.changed else 0


START = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())

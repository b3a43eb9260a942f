"""Tries one mutant after the other in a tree of its own."""

import time
from dataclasses import asdict, dataclass

import suite
from tree import BuildFailed

KILLED, SURVIVED, NOT_COVERED = "killed", "survived", "not covered"
# Neither of these is a result about the tests.
REJECTED = "rejected by the compiler"
SAME = "compiles to the same code"
UNFINISHED = "not noticed in the time given"  # is not kept


@dataclass
class Result:
    """What became of a mutant."""

    key: str
    result: str
    test: str = ""  # the one that noticed
    seconds: float = 0

    def as_dict(self):
        return asdict(self)


class Worker:
    """A tree that is built, and the file in it that is changed at the moment."""

    def __init__(self, tree, sources, coverage, kills, times):
        self.deadline, self.patience = times
        self.tree = tree
        self.sources = sources
        self.coverage = coverage
        self.kills = kills  # shared by all workers: (file, test) -> how often that test noticed
        self.dirty = None
        tree.update()
        tree.configure()
        tree.make()
        self.tests = {test.name: test for test in suite.read_tests(tree)}
        self.outputs, self.digests = {}, {}

    def note_outputs(self, units):
        self.outputs = {unit.file: unit.output for unit in units}

    def drop_unusable(self, names):
        """Tests that fail without any change, here, say nothing. Returns them."""
        unusable = [name for name in names if name in self.tests
                    and suite.run(self.tests[name])[0] != suite.PASSED]  # fmt: skip
        return set(unusable)

    def try_mutant(self, mutant, unusable=()):
        """Builds the mutant and runs the tests that reach it until one fails."""
        start = time.monotonic()
        source = self.sources[mutant.file]
        key = mutant.key(source.text)
        objects = [self.outputs[file] for file in sorted(source.includers)]
        if self.dirty != mutant.file:
            self._restore()
        if mutant.file not in self.digests:
            self.tree.make(objects)
            self.digests[mutant.file] = self.tree.digest(objects)
        self.dirty = mutant.file
        self.tree.write(mutant.file, mutant.changed(source.text))
        try:
            self.tree.make(objects)
            if self.tree.digest(objects) == self.digests[mutant.file]:
                result, test = SAME, ""
            else:
                result, test = self._run_tests(mutant, source, unusable)
        except BuildFailed:
            result, test = REJECTED, ""
        return Result(key, result, test, round(time.monotonic() - start, 1))

    def _restore(self):
        if self.dirty is not None:
            self.tree.write(self.dirty, self.sources[self.dirty].text)
            self.dirty = None

    def _run_tests(self, mutant, source, unusable):
        names = [name for name in self.coverage.tests_for(mutant, source)
                 if name in self.tests and name not in unusable]  # fmt: skip
        if not names:
            return NOT_COVERED, ""
        made = set()
        end = min(time.monotonic() + self.patience, self.deadline)
        for name in self._in_order(mutant.file, names):
            if time.monotonic() > end:
                return UNFINISHED, ""
            test = self.tests[name]
            missing = set(test.targets) - made
            if missing:
                self.tree.make(sorted(missing))
                made |= missing
            if self._notices(test):
                self.kills[mutant.file, name] = self.kills.get((mutant.file, name), 0) + 1
                return KILLED, name
        return SURVIVED, ""

    def _notices(self, test):
        """A failure must happen twice: some tests are about races. A hang is one at once."""
        usual = self.coverage.seconds_of[test.name]
        limit = min(10 * usual + 10, test.limit)
        result = suite.run(test, limit)[0]
        if result == suite.HUNG:
            return True
        return result == suite.FAILED and suite.run(test, limit)[0] in (suite.FAILED, suite.HUNG)

    def _in_order(self, file, names):
        """First what noticed changes in this file before. Then one test of each program after the other, for
        tests of one program notice the same: of each those first that are quick and reach little else."""
        known = [name for name in names if self.kills.get((file, name))]
        known.sort(key=lambda name: -self.kills[file, name] / (self.coverage.seconds_of[name] + 0.2))
        rounds = []
        of_program = {}
        for name in sorted(set(names) - set(known), key=self._cost):
            program = name.split(".")[0]
            of_program[program] = of_program.get(program, 0) + 1
            rounds.append((of_program[program], self.coverage.seconds_of[name], name))
        return known + [name for _, _, name in sorted(rounds)]

    def _cost(self, name):
        return self.coverage.reach_of[name] * (self.coverage.seconds_of[name] + 0.05)

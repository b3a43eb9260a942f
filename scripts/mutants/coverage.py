"""Which test reaches which statement."""

import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from queue import Queue

import suite

FOLDER = os.path.dirname(os.path.abspath(__file__))


class Coverage:
    """For each statement the tests that reach it; for each test its time. A statement is (file, index)."""

    def __init__(self, tests_of, seconds_of, reach_of, failed):
        self.tests_of = tests_of
        self.seconds_of = seconds_of
        self.reach_of = reach_of  # how many statements a test reaches
        self.failed = failed  # the tests that do not pass with probes

    def tests_for(self, mutant, source):
        """The names of the tests that reach the mutant. Outside of functions: that reach its file, or its folder if
        that is a table without functions."""
        at = source.statement_of(mutant.start)
        if at is not None:
            return self.tests_of.get(f"{mutant.file}:{at}", [])
        files = source.includers | {mutant.file}
        folder = os.path.dirname(mutant.file)
        return (self._tests_where(lambda file: file in files)
                or self._tests_where(lambda file: os.path.dirname(file) == folder))  # fmt: skip

    def _tests_where(self, is_meant):
        return sorted({name for statement, names in self.tests_of.items()
                       if is_meant(statement.rsplit(":", 1)[0]) for name in names})  # fmt: skip


def measure(sources, tree, jobs, say, known):
    """Runs every test once in a build with probes. `known` is a file that keeps what each test of this product
    reached: one that is as it was is not run again."""
    numbers = _number(sources)
    hits = os.path.join(os.path.dirname(tree.files), "hits")
    _write_hits(hits, len(numbers))
    header = os.path.join(os.path.dirname(tree.files), "probe.h")
    shutil.copy(os.path.join(FOLDER, "probe.h"), header)
    tree.update({name: _with_probes(source, numbers) for name, source in sources.items()})
    flags = f'-include {header} -DNBUF_PROBE_COUNT={len(numbers)} -DNBUF_PROBE_FILE=\\"{hits}\\"'
    tree.configure([f"-DCMAKE_C_FLAGS={flags} -w"])
    say("coverage: building")
    tree.make(jobs=jobs)
    return _run_all(tree, numbers, hits, jobs, say, _read_known(known))


def load(path):
    with open(path, encoding="utf-8") as file:
        return Coverage(**json.load(file))


def save(path, coverage):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(vars(coverage), file)


def _number(sources):
    keys = [f"{name}:{i}" for name, source in sorted(sources.items()) for i in range(len(source.statements))]
    return {key: number for number, key in enumerate(keys)}


def _with_probes(source, numbers):
    text = source.text
    for i, (start, _) in reversed(list(enumerate(source.statements))):
        text = text[:start] + f"NBUF_PROBE({numbers[f'{source.file}:{i}']}); " + text[start:]
    return text


def _write_hits(path, count):
    with open(path, "wb") as file:
        file.write(bytes(count))
    os.chmod(path, 0o666)  # some tests are other users


def _read_known(path):
    """What earlier runs found out, by the digest of a test; new lines go into the file that is returned."""
    known = {}
    file = open(path, "a+", encoding="utf-8")
    file.seek(0)
    for line in file:
        known.update(json.loads(line))
    return known, file


def _digest(test, tree):
    """Changes when the test does: its programs, or the folder of its script."""
    total = hashlib.sha256(json.dumps([test.command, sorted(test.environment.items())]).encode())
    paths = [os.path.join(tree.build, target) for target in test.targets]
    for word in test.command:
        if word.endswith(".sh"):
            folder = os.path.dirname(word)
            paths += [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    for path in paths:
        if os.path.isfile(path):
            with open(path, "rb") as file:
                total.update(file.read())
    return total.hexdigest()


def _run_all(tree, numbers, hits, jobs, say, known):
    tests_of, seconds_of, reach_of, failed = {}, {}, {}, []
    keys = list(numbers)
    before, notes = known
    files = Queue()
    for job in range(jobs):
        files.put(f"{hits}-{job}")

    def run(test):
        digest = _digest(test, tree)
        if digest in before:
            return test, *before[digest]
        mine = files.get()
        _write_hits(mine, len(keys))
        result, took = suite.run(test, cover=(mine, hits))
        with open(mine, "rb") as file:
            reached = [number for number, hit in enumerate(file.read()) if hit]
        files.put(mine)
        if result in (suite.PASSED, suite.SKIPPED):
            notes.write(json.dumps({digest: [result, took, reached]}) + "\n")
        return test, result, took, reached

    tests = suite.read_tests(tree)
    with notes, ThreadPoolExecutor(jobs) as pool:
        for done, (test, result, took, reached) in enumerate(pool.map(run, tests), 1):
            if done % 100 == 0 or done == len(tests):
                say(f"coverage: {done} of {len(tests)} tests")
            if result in (suite.FAILED, suite.HUNG):
                failed.append(test.name)
            if result == suite.SKIPPED:
                continue
            seconds_of[test.name] = took
            reach_of[test.name] = len(reached)
            for number in reached:
                tests_of.setdefault(keys[number], []).append(test.name)
    if not tests_of:
        raise RuntimeError("no test reaches anything: can this system run them in namespaces of their own?")
    say(f"coverage: {len(tests_of)} of {len(keys)} statements are reached")
    return Coverage(tests_of, seconds_of, reach_of, failed)

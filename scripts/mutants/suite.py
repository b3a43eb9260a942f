"""The tests of one tree, each run where it can harm nothing."""

import os
import subprocess
import time
from dataclasses import dataclass, field

# Not about the code: they install, or check documents.
LEFT_OUT = {"cli.install", "cli.readme"}
TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
# A mutant may signal, remove or overwrite anything. In here there are only the test's own
# processes, an empty /tmp and /var/tmp, and for the rest a file system that cannot be written. $1
# may be a file that covers $2; the project, $3, may lie in what is emptied; $4 is where the test is
# run.
PLACE = """
set -eu
[ -z "$1" ] || mount --bind "$1" "$2"
mount -o remount,bind,ro /
cd "$3"
for folder in /tmp /var/tmp; do
  mount -t tmpfs -o mode=1777,size=512m none "$folder"
done
case $3 in
  /tmp/* | /var/tmp/*)
    mkdir -p "$3"
    mount --no-canonicalize --rbind . "$3"
    ;;
esac
cd "$4"
shift 4
ulimit -c 0
status=0
"$@" || status=$?
exit $status
"""
PASSED, FAILED, SKIPPED, HUNG = "passed", "failed", "skipped", "hung"


@dataclass
class Test:
    """One test of CTest."""

    name: str
    command: list
    environment: dict
    folder: str
    limit: float
    skip_status: int
    targets: list = field(default_factory=list)  # what has to be built for it


def read_tests(tree):
    """The tests of a tree that is configured and built, but for those that need a fixture."""
    outputs = tree.outputs()
    tests = []
    for entry in tree.tests():
        properties = {each["name"]: each["value"] for each in entry["properties"]}
        if entry["name"] in LEFT_OUT or "FIXTURES_REQUIRED" in properties or "FIXTURES_SETUP" in properties:
            continue
        environment = dict(each.split("=", 1) for each in properties.get("ENVIRONMENT", []))
        test = Test(entry["name"], entry["command"], environment, properties["WORKING_DIRECTORY"],
                    properties.get("TIMEOUT", 60), properties.get("SKIP_RETURN_CODE", 77))  # fmt: skip
        named = [*test.command, *environment.values()]
        test.targets = [os.path.relpath(word, tree.build) for word in named if word in outputs]
        tests.append(test)
    return tests


def run(test, limit=None, cover=("", "")):
    """Runs a test and tells the result, and how many seconds it took."""
    # Should this run be ended, a mutant that loops for ever must not go on.
    command = ["setpriv", "--pdeathsig", "KILL",
               "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
               "sh", "-c", PLACE, "sh", *cover, TOP, test.folder, *test.command]  # fmt: skip
    start = time.monotonic()
    process = subprocess.Popen(command, env={**os.environ, **test.environment},
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        status = process.wait(limit or test.limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return HUNG, time.monotonic() - start
    took = time.monotonic() - start
    if status == test.skip_status:
        return SKIPPED, took
    return (PASSED if status == 0 else FAILED), took

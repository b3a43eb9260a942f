"""The result of a run as a Markdown page, with the reasons for the survivors that stay."""

import os
from collections import Counter

from worker import KILLED, NOT_COVERED, REJECTED, SAME, SURVIVED

PARTS = {"base", "os", "core", "api", "remote"}  # the folders of src/
EQUIVALENT = "equivalent"
HISTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "history.md")
COLUMNS = [KILLED, SURVIVED, NOT_COVERED, EQUIVALENT]


def part_of(file):
    """The folder below src/ that a file belongs to, or "tools"."""
    names = file.split("/")
    return f"src/{names[1]}" if names[0] == "src" and names[1] in PARTS else names[0]


def read_accepted(path):
    """The survivors that stay: their key, and (kind, reason). The file's head tells its form."""
    accepted = {}
    with open(path, encoding="utf-8") as file:
        for block in file.read().split("\n\n"):
            lines = [line for line in block.strip().split("\n") if line and not line.startswith("#")]
            if not lines:
                continue
            is_change = [line.startswith(("-", "+")) for line in lines]
            last = len(lines) - is_change[::-1].index(True)
            kind, reason = " ".join(lines[last:]).split(": ", 1)
            if kind not in (EQUIVALENT, "unreachable", "not observable"):
                raise ValueError(f"{path}: no such kind: {kind}")
            accepted["\n".join(lines[:last])] = (kind, reason)
    return accepted


def column_of(result, accepted):
    """What a result counts as; None where it says nothing about the tests."""
    if result.result in (REJECTED, SAME):
        return None
    if result.result != KILLED and accepted.get(result.key, ("", ""))[0] == EQUIVALENT:
        return EQUIVALENT
    return result.result


def score(counts):
    """The share of the mutants not shown to be equivalent that a test noticed, as text."""
    total = counts[KILLED] + counts[SURVIVED] + counts[NOT_COVERED]
    return f"{100 * counts[KILLED] / total:.1f} %" if total else "–"


def write(path, results, accepted, head, has_history):
    lines = [*head, "", "## Score", "", *_table("part", part_of, results, accepted), "",
             "## By file", "", *_table("file", lambda file: f"`{file}`", results, accepted)]  # fmt: skip
    stay = [each for each in results if each.result in (SURVIVED, NOT_COVERED)]
    known = [each for each in stay if each.key in accepted]
    unknown = [each for each in stay if each.key not in accepted]
    lines += ["", "## Survivors that stay"]
    for each in sorted(known, key=lambda each: each.key):
        kind, reason = accepted[each.key]
        lines += ["", *_diff(each), "", f"{kind.capitalize()}: {reason}"]
    if unknown:
        lines += ["", "## Survivors without a reason yet"]
        for each in sorted(unknown, key=lambda each: each.key):
            note = ["", "No test reaches it."] if each.result == NOT_COVERED else []
            lines += ["", *_diff(each), *note]
    if has_history:
        with open(HISTORY, encoding="utf-8") as file:
            lines += ["", file.read().rstrip()]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def summary(results, accepted):
    counts = Counter(column_of(each, accepted) for each in results)
    parts = ", ".join(f"{counts[column]} {column}" for column in COLUMNS)
    return f"{score(counts)} noticed: {parts}; {counts[None]} did not compile or compiled to the same code"


def _table(name, group_of, results, accepted):
    counts = {}
    for each in results:
        group = group_of(each.key.split(" ", 1)[0])
        counts.setdefault(group, Counter())[column_of(each, accepted)] += 1
    yield f"| {name} | {' | '.join(COLUMNS)} | score |"
    yield "| --- |" + " --: |" * (len(COLUMNS) + 1)
    total = sum(counts.values(), Counter())
    for group, row in [*sorted(counts.items()), ("all", total)]:
        yield f"| {group} | {' | '.join(str(row[column]) for column in COLUMNS)} | {score(row)} |"


def _diff(result):
    place, *changes = result.key.split("\n")
    return [f"`{place.strip()}`", "", "```diff", *changes, "```"]

"""What can be changed in a source file, and where its statements begin: read from clang's syntax tree."""

import bisect
import json
import os
import re
import shlex
from dataclasses import dataclass

from clang import cindex
from clang.cindex import CursorKind as Kind

SWAPS = {
    "<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"],
    "==": ["!="], "!=": ["=="], "&&": ["||"], "||": ["&&"],
    "+": ["-"], "-": ["+"], "*": ["/"], "/": ["*"], "%": ["/"],
    "&": ["|"], "|": ["&"], "^": ["|"], "<<": [">>"], ">>": ["<<"],
    "+=": ["-="], "-=": ["+="], "*=": ["/="], "/=": ["*="],
    "&=": ["|="], "|=": ["&="], "<<=": [">>="], ">>=": ["<<="],
}  # fmt: skip
RELATIONS = {"<", "<=", ">", ">=", "==", "!="}
REMOVED = {"!", "~", "-"}  # a prefix that is dropped
STEPS = {"++": "--", "--": "++"}
INTEGER = re.compile(r"^(0[xX][0-9a-fA-F]+|[0-9]+)([uUlL]*)$")
# A statement that can be removed so that the rest still compiles.
REMOVABLE = {
    Kind.CALL_EXPR, Kind.BINARY_OPERATOR, Kind.COMPOUND_ASSIGNMENT_OPERATOR, Kind.UNARY_OPERATOR,
    Kind.BREAK_STMT, Kind.CONTINUE_STMT, Kind.CSTYLE_CAST_EXPR, Kind.UNEXPOSED_EXPR, Kind.GOTO_STMT,
}  # fmt: skip
LABELS = {Kind.CASE_STMT, Kind.DEFAULT_STMT, Kind.LABEL_STMT}
# The index of the condition among the children of a node that has one.
CONDITIONS = {Kind.IF_STMT: 0, Kind.WHILE_STMT: 0, Kind.DO_STMT: 1, Kind.CONDITIONAL_OPERATOR: 0}
ENCODING = "latin-1"  # of whatever a file is in: clang counts bytes, and so a character is one
PARTS_THAT_HOLD_CODE = ("src/", "tools/")


@dataclass(frozen=True)
class Mutant:
    """One change: the bytes from start to end of file are replaced."""

    file: str  # counted from the top of the project
    line: int
    start: int
    end: int
    replacement: str
    operator: str
    function: str

    def key(self, text):
        """What tells it from others, however the rest of its file changes; equal lines have a number."""
        first = text.rfind("\n", 0, self.start) + 1
        before, after = self.diff(text)
        earlier = text.count("\n".join(["", *before, ""]), 0, first)
        number = f" ({earlier + 1})" if earlier else ""
        place = f"{self.file} {self.function or '(no function)'}{number}"
        return "\n".join([place,
                          *(f"-{line.strip()}" for line in before), *(f"+{line.strip()}" for line in after)])

    def changed(self, text):
        """The file's text with the change. Lines keep their numbers, so that the rest compiles to the same."""
        gap = "\n" * text.count("\n", self.start, self.end)
        return text[: self.start] + self.replacement + gap + text[self.end :]

    def diff(self, text):
        """The changed lines before and after, without the common ones."""
        first = text.rfind("\n", 0, self.start) + 1
        last = text.find("\n", self.end)
        before = text[first:last]
        after = self.changed(text)[first : last + len(self.replacement) - (self.end - self.start)
                                   + text.count("\n", self.start, self.end)]  # fmt: skip
        return before.split("\n"), [line.rstrip() for line in after.split("\n") if line.strip()]


@dataclass
class Source:
    """A file: what can be changed in it, and where its statements are."""

    file: str
    text: str
    mutants: list
    statements: list  # (start, end), in the order of start
    includers: set  # the translation units that see it

    def statement_of(self, offset):
        """The index of the innermost statement around offset, or None outside of functions."""
        around = [i for i, (start, end) in enumerate(self.statements) if start <= offset < end]
        return around[-1] if around else None


@dataclass(frozen=True)
class Unit:
    """A translation unit, as the build compiles it."""

    file: str
    arguments: tuple
    output: str


def read_units(top, build):
    """The translation units of the product, from the build's compile_commands.json; each file once."""
    units = {}
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as database:
        for entry in json.load(database):
            file = os.path.relpath(entry["file"], top)
            words = shlex.split(entry["command"])
            output = words[words.index("-o") + 1]
            if not (file.startswith(PARTS_THAT_HOLD_CODE) and output.startswith(PARTS_THAT_HOLD_CODE)):
                continue  # a test may compile what belongs to another system
            # What is in a shared and in a static library is told apart by the folder; tests link
            # the latter.
            if file not in units or "_static" in output:
                kept = tuple(word for word in words[1:] if word.startswith(("-I", "-D", "-std")))
                units[file] = Unit(file, kept, output)
    return [units[file] for file in sorted(units)]


def moved(unit, old, new):
    """The same unit where the project lies at another place."""
    return Unit(unit.file, tuple(word.replace(old, new) for word in unit.arguments), unit.output)


def read_sources(top, units):
    """Every file of the product that one of the units compiles, by name."""
    sources = {}
    index = cindex.Index.create()
    for unit in units:
        parsed = index.parse(os.path.join(top, unit.file), args=list(unit.arguments))
        for problem in parsed.diagnostics:
            if problem.severity >= cindex.Diagnostic.Error:
                raise RuntimeError(f"clang cannot read {unit.file}: {problem}")
        for path in {unit.file} | {os.path.relpath(i.include.name, top) for i in parsed.get_includes()}:
            if not path.startswith(PARTS_THAT_HOLD_CODE):
                continue
            if path not in sources:
                sources[path] = _Reader(top, path, parsed).read()
            sources[path].includers.add(unit.file)
    return sources


class _Reader:
    """Collects from the tree of one translation unit what belongs to one file."""

    def __init__(self, top, path, parsed):
        self.parsed = parsed
        self.name = os.path.join(top, path)
        with open(self.name, encoding=ENCODING) as file:
            text = file.read()
        self.source = Source(path, text, [], [], set())
        self.seen = set()
        self.function = ""
        whole = cindex.SourceRange.from_locations(
            *(cindex.SourceLocation.from_offset(parsed, cindex.File.from_name(parsed, self.name), offset)
              for offset in (0, len(text))))  # fmt: skip
        self.tokens = [(token.extent.start.offset, token.spelling)
                       for token in parsed.get_tokens(extent=whole)]  # fmt: skip
        self.starts = [start for start, _ in self.tokens]
        self.known_starts = set(self.starts)

    def read(self):
        for cursor in self.parsed.cursor.get_children():
            if cursor.location.file and cursor.location.file.name == self.name:
                self.function = cursor.spelling if cursor.kind == Kind.FUNCTION_DECL else ""
                self.visit(cursor)
        self.source.mutants.sort(key=lambda mutant: (mutant.start, mutant.end, mutant.replacement))
        self.source.statements.sort(key=lambda extent: (extent[0], -extent[1]))
        return self.source

    def visit(self, cursor):
        if cursor.kind == Kind.STATIC_ASSERT:
            return
        children = list(cursor.get_children())
        self.change(cursor, children)
        if cursor.kind == Kind.COMPOUND_STMT:
            for child in children:
                self.note_statement(child)
        for child in children:
            self.visit(child)

    def note_statement(self, cursor):
        start, end = _extent(cursor)
        while cursor.kind in LABELS:  # a probe goes behind the label
            cursor = list(cursor.get_children())[-1]
            start = _extent(cursor)[0]
        if cursor.kind in (Kind.COMPOUND_STMT, Kind.NULL_STMT):
            return
        self.source.statements.append((start, end))
        if cursor.kind in REMOVABLE or (cursor.kind == Kind.RETURN_STMT and self.is_bare(cursor)):
            self.add(*_extent(cursor), "", "statement removed")

    def is_bare(self, cursor):
        return not list(cursor.get_children())

    def change(self, cursor, children):
        if cursor.kind in (Kind.BINARY_OPERATOR, Kind.COMPOUND_ASSIGNMENT_OPERATOR):
            self.swap_operator(children)
        elif cursor.kind == Kind.UNARY_OPERATOR:
            self.change_unary(cursor, children)
        elif cursor.kind == Kind.INTEGER_LITERAL:
            self.change_constant(cursor)
        elif cursor.kind == Kind.DECL_REF_EXPR:
            self.swap_status(cursor)
        if cursor.kind in CONDITIONS:
            self.negate(children[CONDITIONS[cursor.kind]])

    def swap_operator(self, children):
        if len(children) != 2:
            return
        between = self.tokens_between(_extent(children[0])[1], _extent(children[1])[0])
        for start, spelling in between:
            for other in SWAPS.get(spelling, ()):
                self.add(start, start + len(spelling), other, f"{spelling} became {other}")

    def change_unary(self, cursor, children):
        start, end = _extent(cursor)
        for at, spelling in self.tokens_between(start, end):
            inside = children and _extent(children[0])[0] <= at < _extent(children[0])[1]
            if inside:
                continue
            if spelling in STEPS:
                self.add(at, at + 2, STEPS[spelling], f"{spelling} became {STEPS[spelling]}")
            elif spelling in REMOVED and at == start:
                self.add(at, at + 1, "", f"{spelling} removed")

    def change_constant(self, cursor):
        start, end = _extent(cursor)
        text = self.source.text[start:end]
        if text in ("true", "false"):
            other = "false" if text == "true" else "true"
            self.add(start, end, other, f"{text} became {other}")
            return
        number = INTEGER.match(text)
        if not number:
            return  # a macro's name, or a character
        is_octal = len(number[1]) > 1 and number[1][0] == "0"
        base = 16 if number[1][:2].lower() == "0x" else 8 if is_octal else 10
        value = int(number[1], base)
        for other in (value + 1, value - 1):
            if other >= 0:
                spelled = {16: f"0x{other:x}", 8: f"0{other:o}", 10: str(other)}[base] + number[2]
                self.add(start, end, spelled, "constant ± 1")

    def swap_status(self, cursor):
        constant = cursor.referenced
        if constant is None or constant.kind != Kind.ENUM_CONSTANT_DECL:
            return
        if constant.semantic_parent.spelling != "nearbuf_status":
            return
        names = [each.spelling for each in constant.semantic_parent.get_children()]
        at = names.index(constant.spelling)
        other = names[at + 1] if at + 1 < len(names) else names[1]
        self.add(*_extent(cursor), other, "another status")

    def negate(self, condition):
        """Conditions whose operator is swapped for its opposite anyway are left out."""
        start, end = _extent(condition)
        parts = list(condition.get_children())
        if condition.kind == Kind.UNARY_OPERATOR and self.source.text[start] == "!":
            return
        if condition.kind == Kind.BINARY_OPERATOR and len(parts) == 2:
            between = self.tokens_between(_extent(parts[0])[1], _extent(parts[1])[0])
            if any(spelling in RELATIONS for _, spelling in between):
                return
        self.add(start, end, f"!({self.source.text[start:end]})", "condition negated")

    def tokens_between(self, start, end):
        return self.tokens[bisect.bisect_left(self.starts, start) : bisect.bisect_left(self.starts, end)]

    def add(self, start, end, replacement, operator):
        key = (start, end, replacement)
        # The expansion of a macro has the macro's location, and would be changed where it is not an
        # expression.
        if start >= end or key in self.seen or start not in self.known_starts:
            return
        self.seen.add(key)
        line = self.source.text.count("\n", 0, start) + 1
        self.source.mutants.append(
            Mutant(self.source.file, line, start, end, _flat(replacement), operator, self.function))


def _extent(cursor):
    return cursor.extent.start.offset, cursor.extent.end.offset


def _flat(text):
    """On one line: the removed line breaks come back behind the change."""
    return " ".join(line.strip() for line in text.split("\n"))

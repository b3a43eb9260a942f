"""A copy of the project with a build of its own, which may be changed without affecting the original."""

import hashlib
import json
import os
import subprocess

from source import ENCODING

BUILD_TYPE = "RelWithDebInfo"  # optimised, but each object by itself, so that one change is quick to link


class BuildFailed(Exception):
    pass


def product_files(top):
    """What git knows of in this checkout, and what it does not know of and does not ignore."""
    listed = subprocess.run(["git", "ls-files", "-z", "-c", "-o", "--exclude-standard"], cwd=top, check=True,
                            capture_output=True, text=True).stdout  # fmt: skip
    return sorted(name for name in listed.split("\0") if name and os.path.isfile(os.path.join(top, name)))


PRODUCT = ("src/", "tools/", "include/", "cmake/", "CMake")


def fingerprint(top, parts=(*PRODUCT, "tests/")):
    """Changes when anything does that decides about a result."""
    total = hashlib.sha256()
    for name in product_files(top):
        if name.startswith(parts):
            with open(os.path.join(top, name), "rb") as file:
                total.update(name.encode() + b"\0" + hashlib.sha256(file.read()).digest())
    return total.hexdigest()[:12]


class Tree:
    """Files and build of one worker, in folder."""

    def __init__(self, top, folder):
        self.top = top
        self.files = os.path.join(folder, "files")
        self.build = os.path.join(folder, "build")
        self.log = os.path.join(folder, "build.log")
        os.makedirs(folder, exist_ok=True)
        self._outputs = None

    def update(self, changed=None):
        """Makes the files those of the project, with the texts in changed instead; leaves alone what is equal."""
        names = product_files(self.top)
        for name in names:
            with open(os.path.join(self.top, name), "rb") as file:
                content = file.read()
            if changed and name in changed:
                content = changed[name].encode(ENCODING)
            self._write_if_other(name, content, os.stat(os.path.join(self.top, name)).st_mode)
        for folder, _, present in os.walk(self.files):
            for name in present:
                path = os.path.join(folder, name)
                if os.path.relpath(path, self.files) not in names:
                    os.remove(path)

    def _write_if_other(self, name, content, mode=None):
        path = os.path.join(self.files, name)
        try:
            with open(path, "rb") as file:
                if file.read() == content:
                    return
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        if mode is not None:
            os.chmod(path, mode)

    def write(self, name, text):
        self._write_if_other(name, text.encode(ENCODING))

    def configure(self, extra=()):
        self._run(["cmake", "-S", self.files, "-B", self.build, "-G", "Ninja",
                   f"-DCMAKE_BUILD_TYPE={BUILD_TYPE}", f"-DCMAKE_C_FLAGS_{BUILD_TYPE.upper()}=-O2 -DNDEBUG",
                   "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", "-DNEARBUF_BUILD_BENCH=OFF",
                   "-DNEARBUF_BUILD_EXAMPLES=OFF", *extra])  # fmt: skip

    def make(self, targets=("all",), jobs=1):
        self._run(["ninja", "-C", self.build, "-j", str(jobs), *targets])

    def _run(self, command):
        with open(self.log, "wb") as log:
            if subprocess.run(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL).returncode != 0:
                raise BuildFailed(f"{' '.join(command)}: see {self.log}")

    def outputs(self):
        """Everything that the build makes, by absolute path."""
        if self._outputs is None:
            listed = subprocess.run(["ninja", "-C", self.build, "-t", "targets", "all"], check=True,
                                    capture_output=True, text=True).stdout  # fmt: skip
            self._outputs = {os.path.join(self.build, line.rsplit(":", 1)[0]) for line in listed.splitlines()}
        return self._outputs

    def digest(self, objects):
        total = hashlib.sha256()
        for name in objects:
            with open(os.path.join(self.build, name), "rb") as file:
                total.update(file.read())
        return total.hexdigest()

    def tests(self):
        """The tests as CTest would run them."""
        shown = subprocess.run(["ctest", "--show-only=json-v1"], cwd=self.build, check=True,
                               capture_output=True, text=True).stdout  # fmt: skip
        return json.loads(shown)["tests"]

# The common ways to use this tree; CMakePresets.json and CMake's own commands do the rest.
PREFIX = /usr/local
CTEST_FLAGS =

help:
	@echo 'make demo      build, and show the library at work on a real function'
	@echo 'make test      build and run all tests'
	@echo 'make bench     build and run the benchmarks'
	@echo 'make install   build and install into PREFIX ($(PREFIX)); DESTDIR is honoured'
	@echo 'make format    format the sources'
	@echo 'make lint      check format and sources with clang-format, clang-tidy and cppcheck'
	@echo 'make matrix    build and test for every system (Debian; TARGET=name for one of make matrix-list)'
	@echo 'make mutants   see which small changes of the code no test notices (Debian, as root; SAMPLE=400, SEED=date)'
	@echo 'make clean     remove build/'

demo:
	@scripts/build.sh release nearbuf_tool
	build/release/nearbuf demo

test:
	@scripts/build.sh release
	cd build/release && ctest --output-on-failure -j2 $(CTEST_FLAGS)

bench:
	@scripts/build.sh release bench

install:
	@scripts/build.sh release nearbuf_installable
	DESTDIR='$(DESTDIR)' cmake --install build/release --prefix '$(PREFIX)'

format:
	@scripts/format.sh

lint:
	@scripts/setup.sh ci
	@scripts/format.sh --check
	@scripts/lint.sh

# TARGET=name runs one; its name must be one of matrix-list.
matrix:
	@scripts/matrix.sh $(TARGET)

matrix-list:
	@scripts/matrix.sh --list

# An hour for 400; a run that was stopped goes on.
SAMPLE = 400
SEED = $(shell date -u +%F)
mutants:
	@scripts/mutants.sh --sample '$(SAMPLE)' --seed '$(SEED)' --report docs/mutants.md

clean:
	rm -rf build

.PHONY: mutants matrix matrix-list help demo test bench install format lint clean

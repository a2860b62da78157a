# `make demo` shows it, `make test` checks it, `make help` lists the rest; each sets up what is missing first.

# What `make quick` tests: all that is quick to try of one piece at a time. Left out are passes in threads and batches,
# what attend shows, pairs of options, and the tests (`unseen`) that the comparisons with the reference would see a fault.
QUICK := tests/core tests/model tests/render tests/arguments tests/test_structure.py tests/test_references.py \
	--ignore tests/core/test_threads.py --ignore tests/model/test_batch.py --ignore tests/model/test_attend_golden.py \
	--ignore tests/arguments/test_pairs.py -k "not unseen"
TEXT ?= Alice gave Bob her book
BIN := .venv/bin
# The first Python that is new enough; PYTHON=... chooses another.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null && echo $$python && break; done)

.PHONY: help models vocabularies conformance demo test quick lint types unit coverage processors docs golden bench lock clean

demo: .venv/installed  ## Fetches the model and shows what it does with a text (TEXT="...").
	@$(BIN)/llminspect pull smollm2
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/demos/demo.sh "$(TEXT)"

help:  ## This list.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  make %-12s%s\n' "$$name" "$$text"; done

test: lint types unit  ## All checks: style, types, tests.

lint: .venv/installed-dev  ## Style: ruff.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed-dev  ## Types: mypy.
	$(BIN)/mypy

# In blocks, so that what a folder's tests share (opened models, compiled programs) is made in one process.
PYTEST := $(BIN)/python -m pytest -q -n auto --dist worksteal

# With coverage where Python itself counts lines (3.12 and newer); a tracer before that takes 1.6 times as long.
unit: .venv/installed-dev models vocabularies  ## All tests; with Python 3.12 or newer also how much of the code they run.
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then $(MAKE) coverage; \
	else $(PYTEST) && echo "Coverage is shown with Python 3.12 or newer, or by make coverage."; fi

quick: lint  ## Under a minute: style, the mathematics, every family's numbers, every option, pictures, the structure.
	$(PYTEST) $(QUICK)

coverage: .venv/installed-dev models vocabularies  ## All tests, and how much of the code they run.
	COVERAGE_CORE=$$($(BIN)/python -c 'import sys; print("ctrace" if sys.version_info < (3, 12) else "sysmon")') \
		$(PYTEST) --cov --cov-report=term

conformance: .venv/installed-dev vocabularies  ## llama.cpp's own tests of tokenizers, on real vocabularies (fetched once, 77 MB).
	$(BIN)/python -m pytest -q tests/text/test_llama_cpp_vocabularies.py

# The tests that compare with recorded numbers: golden models, attention, heads, threads, SmolLM2, the lens …; which, and
# of which processors: tools/processors.py.
processors: .venv/installed-dev models  ## The tests of numbers, with the matrix products of several processors.
	$(BIN)/python -m tools.processors

docs: .venv/installed-dev models  ## Runs every command of the docs and compares; WRITE=1 writes what comes now.
	$(BIN)/python -m tools.book $(if $(WRITE),--write)

golden:  ## Records the numbers of every family with the reference implementation (needs the extra `golden`).
	PYTHONPATH=. $(BIN)/python tools/make_golden.py tests/golden

bench: .venv/installed-dev  ## Times everything, beside its peers where they are installed.
	$(BIN)/python -m tests.bench

.venv/python:
	@test -n "$(PYTHON)" || { echo "llminspect needs Python 3.11 to 3.14 on the PATH (or make PYTHON=...)" >&2; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version) …"
	@$(PYTHON) -m venv .venv 2>/dev/null || { rm -rf .venv && $(PYTHON) -m venv --without-pip .venv && \
		$(PYTHON) -m pip --python $(BIN)/python install -q pip; }
	@touch $@

PRODUCTS := $(wildcard llminspect/backends/kernels/*.[ch])

.venv/installed: .venv/python pyproject.toml $(PRODUCTS)
	@echo "Installing llminspect and what it needs …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@touch $@

# What requirements.lock names by its hashes and nothing else, or with LOCK= the newest of everything.
LOCK ?= requirements.lock
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check

.venv/installed-dev: .venv/python pyproject.toml $(LOCK) $(PRODUCTS)
	@echo "Installing llminspect and its development tools from $(or $(LOCK),the newest versions) …"
	@if [ -n "$(LOCK)" ]; then $(PIP) --require-hashes --only-binary :all: -r $(LOCK) && \
		PYTHONWARNINGS=ignore $(PIP) --no-deps --no-build-isolation -e .; else $(PIP) --upgrade -e '.[dev]'; fi
	@touch $@ .venv/installed

lock:  ## Writes requirements.lock anew, of the newest versions (needs uv).
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --upgrade --extra dev pyproject.toml -o requirements.lock

models: .venv/installed
	@$(BIN)/llminspect pull smollm2
	@$(BIN)/llminspect pull minilm

# Not with the package, as they have licences of their own: the tests take them from where they are, or fetch them.
vocabularies: .venv/installed
	@$(BIN)/python -m tools.vocabularies

clean:  ## Removes what make made.
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info

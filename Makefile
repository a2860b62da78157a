# `make demo` shows it, `make test` checks it; both set up what is missing first.

TEXT ?= Alice gave Bob her book
BIN := .venv/bin
# The first Python that is new enough; PYTHON=... chooses another.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null && echo $$python && break; done)

.PHONY: demo test lint types unit docs golden bench clean

demo: .venv/installed
	@$(BIN)/llminspect pull smollm2
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/demos/demo.sh "$(TEXT)"

test: lint types unit

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed-dev
	$(BIN)/mypy


unit: .venv/installed-dev
	$(BIN)/llminspect pull smollm2
	$(BIN)/llminspect pull minilm
	$(BIN)/python -m pytest -q -n auto

# Runs every command of README.md and docs/ again and compares, and the reference with the code; WRITE=1 writes those of now.
docs: .venv/installed-dev
	$(BIN)/llminspect pull smollm2
	$(BIN)/python -m tools.book $(if $(WRITE),--write)

# The recorded numbers of every family, made by the reference implementation (needs the extra `golden`).
golden:
	$(BIN)/python tools/make_golden.py tests/golden

bench: .venv/installed-dev
	$(BIN)/python -m tests.bench

.venv/python:
	@test -n "$(PYTHON)" || { echo "llminspect needs Python 3.11 to 3.14 on the PATH (or make PYTHON=...)" >&2; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version) …"
	@$(PYTHON) -m venv .venv 2>/dev/null || { rm -rf .venv && $(PYTHON) -m venv --without-pip .venv && \
		$(PYTHON) -m pip --python $(BIN)/python install -q pip; }
	@touch $@

.venv/installed: .venv/python pyproject.toml
	@echo "Installing llminspect and what it needs …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@touch $@

.venv/installed-dev: .venv/python pyproject.toml
	@echo "Installing llminspect and its development tools …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@ .venv/installed

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info

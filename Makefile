# make demo   .venv with the base dependencies, then the example photographs are filled
# make serve  .venv with the web page's dependencies, then the page: http://127.0.0.1:8000/ until Ctrl-C
# make docs   the documentation, in site/; make docs-serve shows it at http://127.0.0.1:8001/ while you write
# make test   .venv with everything the tests need, then lint, types, the documentation and tests
# make table-5   the paper's Table 5 (or 1, 2, 3, 4, ladder; docs/results.md): TABLE_ARGS="--images FOLDER -- steps=300 …"
# make test-fast   the unit tests alone: neither commands, servers and browsers, nor trainings
# make lint   ruff, mypy and import-linter   make clean   removes what make made
# PYTHON=python3.12 make …   picks the interpreter (3.11 or newer)

PYTHON ?= $(shell for p in python3.12 python3.11 python3 python3.13 python; do \
	$$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PYTEST_ARGS ?= -n 2 --durations=15
SERVE_ARGS ?=
TABLE_ARGS ?=

.PHONY: demo serve docs docs-serve test test-fast lint clean
.DELETE_ON_ERROR:

demo: $(VENV)/.base
	$(BIN)/python examples/demo.py --out out/demo.png

serve: $(VENV)/.app
	$(BIN)/invertfill serve $(SERVE_ARGS)

# The variable keeps the theme from advertising its successor.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8001

test: lint docs
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m "not slow"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

table-%: $(VENV)/.dev
	$(BIN)/python benchmarks/paper.py $* $(TABLE_ARGS)

clean:
	rm -rf $(VENV) out site build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks examples recipes tools -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "invertfill needs Python 3.11 or newer$(if $(PYTHON), and $(PYTHON) is older or absent, and none was found on PATH)." >&2; \
	  echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.base: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.app: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable ".[app,heif]"
	@touch $@ $(VENV)/.base

# torch comes at the pinned version from whichever index pip is set up for: CPU and CUDA builds both do.
$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable ".[all]"
	@touch $@ $(VENV)/.base $(VENV)/.app

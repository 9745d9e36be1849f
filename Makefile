# Needs Python 3.11 or newer with pip, and make. `make help` lists the targets.

VENV ?= .venv
BIN := $(VENV)/bin

# The first interpreter on the path that is new enough; `make PYTHON=/path/to/python3.12 ...` chooses another.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$python && break; done)

PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# Test processes: one for each processor, hyper-threads included. A module's tests stay together, as they share a server.
# Modules come in the order of the tree: sorted by their number of tests, as they would be, those of few long tests came
# last, and one process waited for another. A process that ends, as where a test hangs, ends the run: a new one would begin
# with the same test.
PYTEST_PARALLEL ?= --numprocesses logical --maxprocesses 8 --max-worker-restart 0 --dist loadscope --no-loadscope-reorder

# Stamps: what is installed is installed once, and again when its list changes.
CREATED := $(VENV)/.created
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
DOCS := $(VENV)/.docs
AUDIT := $(VENV)/.audit
BENCHMARK_STAMP := $(VENV)/.benchmark

.DEFAULT_GOAL := help
.PHONY: help demo check test conformance soak audit benchmark schema docs format constraints clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do printf '%-14s%s\n' "$$name" "$$text"; done

demo: $(RUNTIME) ## run the server with sample data
	$(BIN)/cm-graphql demo

check: $(DEV) ## format, lint, types, rooms and schema; takes seconds
	$(BIN)/ruff format --check src tests benchmarks hatch_build.py
	$(BIN)/ruff check src tests benchmarks hatch_build.py
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/cm-graphql schema export --check

test: check ## the checks, then every test on SQLite and on PostgreSQL
	HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-ci} $(BIN)/python -m pytest -q $(PYTEST_PARALLEL) --ignore=tests/conformance

conformance: $(DEV) $(DOCS) ## other people's suites and clients against the real server
	@if find tests/conformance -name 'test_*.py' | grep -q .; then \
		echo '$(BIN)/python -m pytest tests/conformance'; \
		$(BIN)/python -m pytest tests/conformance; \
	else \
		echo 'There are no conformance tests yet.'; \
	fi

soak: $(DEV) $(AUDIT) ## the tests that run for minutes
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest $(PYTEST_PARALLEL) -o faulthandler_timeout=0 -m soak

# BENCHMARK=--quick takes three minutes; `python -m benchmarks --help` tells of the rest.
benchmark: $(BENCHMARK_STAMP) ## measure us beside what one would write or pick instead
	$(BIN)/python -m benchmarks $(BENCHMARK)

audit: $(DEV) $(AUDIT) ## ask whether a pinned library has a known vulnerability; offline it is skipped
	$(BIN)/python -m pytest -q -rs -m 'soak or not soak' tests/test_supply_chain.py

schema: $(RUNTIME) ## print schema.graphql again
	$(BIN)/cm-graphql schema export > schema.graphql.new
	mv schema.graphql.new schema.graphql

# The variable silences an advertisement of mkdocs-material's successor.
docs: $(DOCS) ## build the documentation as a site in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean --quiet
	@echo 'The site is in build/site: open build/site/index.html.'

format: $(DEV) ## format the code and fix what can be fixed
	$(BIN)/ruff format src tests benchmarks hatch_build.py
	$(BIN)/ruff check --fix src tests benchmarks hatch_build.py

constraints: ## pin the newest versions that pyproject.toml allows
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet --disable-pip-version-check '.[audit,dev,docs,benchmark]'
	echo '# The versions that the tests ran with, renewed by `make constraints`.' > constraints.txt
	build/constraints/bin/python -m pip freeze --exclude cm-graphql >> constraints.txt
	rm -rf build/constraints

clean: ## remove the virtual environment and everything else that was made
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis schema.graphql.new
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# Some distributions ship Python without ensurepip: there, their own pip fills the virtual environment.
$(CREATED):
	@test -n '$(PYTHON)' || { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/it' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
		$(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
	@touch $@

$(RUNTIME): pyproject.toml constraints.txt | $(CREATED)
	$(PIP_INSTALL) --editable .
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(CREATED)
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@ $(RUNTIME)

$(DOCS): pyproject.toml constraints.txt | $(CREATED)
	$(PIP_INSTALL) --editable '.[docs]'
	@touch $@ $(RUNTIME)

$(BENCHMARK_STAMP): pyproject.toml constraints.txt | $(CREATED)
	$(PIP_INSTALL) --editable '.[dev,benchmark]'
	@touch $@ $(RUNTIME) $(DEV)

$(AUDIT): pyproject.toml constraints.txt | $(CREATED)
	$(PIP_INSTALL) --editable '.[audit]'
	@touch $@ $(RUNTIME)

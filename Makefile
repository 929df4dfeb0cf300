# Everything runs in a virtual environment of its own; nothing but Python 3.11+ and make is needed to begin.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Tests wait for servers and clients most of their time; with more workers than cores those become slow themselves.
TEST_WORKERS ?= 2

.PHONY: help run install install-test test lint unit coverage parity bench soak clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: install ## Install, start the service on SQLite and loopback, show how to get the first certificate
	@exec $(BIN)/thingmint serve

install: $(VENV)/.installed

install-test: $(VENV)/.installed-test

test: install-test lint unit ## Check style, types, imports and documents, then run all tests

lint: install-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

unit: install-test
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal --cov --cov-report=
	$(BIN)/coverage report --skip-covered --skip-empty
	$(BIN)/coverage report --include='src/thingmint/core/*,src/thingmint/issuance/*,src/thingmint/registration/*,src/thingmint/api/*' --fail-under=100 --skip-covered

parity: install-test ## Try every operation with AWS's SDK on running services, print which answer, write docs/reference/operations.md
	THINGMINT_PARITY_RECORD=$(VENV)/parity.json $(BIN)/python -m pytest -q tests/clients/test_boto3*.py
	$(BIN)/python -m tests.support.parity $(VENV)/parity.json

bench: install-test ## Measure against named references and peers; prints a table of ratios, writes bench/results/latest.json
	$(BIN)/python -m bench

soak: install-test ## Run the long forms of tests: faults, fuzzing, models
	THINGMINT_SOAK=1 $(BIN)/python -m pytest -m soak -n $(TEST_WORKERS) --dist worksteal

clean: ## Remove what the targets above made
	rm -rf $(VENV) .bench-venvs .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage tests/clients/node_modules tests/mqtt/javascript/node_modules

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/.installed

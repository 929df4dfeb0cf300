# Everything runs in a virtual environment of its own; nothing but Python 3.11+ and make is needed to begin.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Tests on two workers leave two cores idle for a third of the time, while they wait for servers and clients.
TEST_WORKERS ?= 3
IFMA = packages/thingmint-ifma

.PHONY: help run install install-test test quick lint unit docs lower-bounds parity brokers device-operations map bench soak clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: install ## Install, start the service on SQLite and loopback, show how to get the first certificate
	@exec $(BIN)/thingmint serve

install: $(VENV)/.installed

install-test: $(VENV)/.installed-test $(VENV)/.installed-ifma

test: install-test lint unit ## Check style, types, imports and documents, then run all tests

lint: install-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# Tests that cover every branch of the pure layers. The others run unmeasured, which takes less than half as long.
MEASURED_TESTS = tests/core tests/issuance tests/records tests/registration tests/api tests/service tests/mqtt/edges \
  tests/cli/auditing/test_audit.py tests/cli/test_backup.py tests/cli/test_log.py tests/rest/test_asgi.py \
  tests/rest/test_identity.py tests/storage/test_accounts.py tests/storage/test_postgresql.py \
  tests/storage/test_certificate_search.py tests/storage/test_presented_certificates.py \
  tests/storage/test_serial_reservations.py tests/storage/test_store.py

unit: install-test ## Run all tests; those of the pure layers must cover every branch of them
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal --cov --cov-report= $(MEASURED_TESTS)
	$(BIN)/coverage report
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal $(addprefix --ignore=,$(MEASURED_TESTS))

# Rooms whose tests run in one process, on SQLite in memory or in a file.
QUICK_TESTS = tests/core tests/issuance tests/records tests/registration tests/api tests/contract tests/test_architecture.py

quick: install-test ## Check style and imports, and run the tests that need no server: under two minutes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal -k 'not postgresql' $(QUICK_TESTS)

# Clients of every kind, on both databases, and what each dependency is for: prometheus-client (device metrics), cbor2
# (payloads), jinja2 (the console's pages in EST), rich and click (terminal), httptools and uvloop (HTTP), apsw and asyncpg
# (store), cryptography (sealing), websockets (frames). Of the packages that only tests need, those that these tests need.
LIVE_TESTS = tests/clients/test_boto3.py tests/clients/test_boto3_data_plane.py tests/clients/test_aws_cli.py \
  tests/clients/test_curl.py tests/clients/test_device_metrics.py tests/clients/test_est.py tests/cli/test_terminal.py \
  tests/api/wire/reading/test_payloads.py tests/rest/http/test_request_bytes.py tests/rest/http/test_streams.py \
  tests/storage/test_store.py tests/hooks/test_webhook.py tests/data_directory/test_sealing.py \
  tests/mqtt/gateway/test_web_sockets.py

lower-bounds: .lower-bounds/.installed ## Install exactly the declared lower bounds of the dependencies, and run live tests with them
	.lower-bounds/bin/python -m pytest -q -n $(TEST_WORKERS) --dist worksteal $(LIVE_TESTS)

.lower-bounds/.installed: pyproject.toml tools/lower_bounds.py
	$(PYTHON) -m venv --clear .lower-bounds
	$(PYTHON) tools/lower_bounds.py > .lower-bounds/exact.txt
	.lower-bounds/bin/python -m pip install --quiet --constraint .lower-bounds/exact.txt --editable . \
	  pytest pytest-asyncio pytest-randomly pytest-timeout pytest-xdist hypothesis boto3 awscli paho-mqtt
	@touch $@

# With PARITY_TESTS=FILE, operations that other tests prove stay as they are.
PARITY_TESTS ?= tests/clients/test_boto3*.py

parity: install-test ## Try every operation with AWS's SDK on running services, print which answer, write docs/reference/operations.md
	THINGMINT_PARITY_RECORD=$(VENV)/parity.json $(BIN)/python -m pytest -q $(PARITY_TESTS)
	$(BIN)/python -m tests.support.clients.parity $(VENV)/parity.json

map: install-test ## Write the generated parts of ARCHITECTURE.md: layers, packages, decisions
	$(BIN)/python tools/house_map.py

brokers: install-test ## Try real MQTT brokers behind the relay, write docs/reference/brokers.md by what they give devices
	THINGMINT_BROKERS_RECORD=$(VENV)/brokers $(BIN)/python -m pytest -q tests/mqtt/relay/test_engines.py
	$(BIN)/python -m tests.support.brokers.broker_page $(VENV)/brokers

device-operations: install-test ## Write docs/reference/device-operations.md from the table of device operations
	$(BIN)/python tools/device_operations.py > docs/reference/device-operations.md

# In an environment of its own: Sphinx and the AWS CLI want different versions of docutils.
docs: .docs-venv/.installed ## Build the documentation site in site/
	.docs-venv/bin/sphinx-build -W --keep-going -q -c docs/site -b html -d .docs-venv/doctrees . site
	.docs-venv/bin/python tools/site_addresses.py site

.docs-venv/.installed: pyproject.toml
	$(PYTHON) -m venv .docs-venv
	$(PYTHON) -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['docs'], sep='\n')" > .docs-venv/requirements.txt
	.docs-venv/bin/python -m pip install --quiet -r .docs-venv/requirements.txt
	@touch $@

bench: install-test ## Measure against named references and peers; prints a table of ratios, writes bench/results/latest.json
	$(BIN)/python -m bench

soak: install-test ## Run the long forms of tests: faults, fuzzing, models, properties
	THINGMINT_SOAK=1 $(BIN)/python -m pytest --timeout 0 -o faulthandler_timeout=0 -m 'soak or hypothesis' -n $(TEST_WORKERS) --dist worksteal

clean: ## Remove what the targets above made
	rm -rf $(VENV) .docs-venv site .lower-bounds .bench-venvs .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage tests/clients/node_modules tests/console/node_modules tests/mqtt/javascript/node_modules $(IFMA)/build

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/.installed

# The optional key engine. Its library exists for x86-64 only, and it is compiled: without a compiler, users go without.
$(VENV)/.installed-ifma: $(shell find $(IFMA) -name '*.[chpt]*' -not -path '*/build/*' -type f) | $(VENV)/.installed-test
	@if [ "$$(uname -sm)" != "Linux x86_64" ]; then \
	  echo "thingmint-ifma is for Linux on x86-64; its tests are skipped"; touch $@; \
	elif $(BIN)/python -m pip install --quiet './$(IFMA)[test]'; then \
	  touch $@; \
	else \
	  echo "thingmint-ifma could not be built (gcc and Python's headers are needed); its tests are skipped"; \
	  [ "$(THINGMINT_REQUIRE_ALL)" != 1 ]; \
	fi

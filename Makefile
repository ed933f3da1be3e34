# Everything a contributor runs. Needs Python 3.11+ only; the rest is installed into .venv from requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --output-file
NODE_LOCKS := tests/node_sidecar/dependencies

# The markers that `make quick` and `make coverage` leave out: tests that start a program.
STARTING := envoy or postgres or redis or browser or compiler or packages or network or processes

# The modules of the tests and those that each process of theirs imports are compiled once.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: up test quick coverage wheel check generated proto golden clients lock docs bench fuzz clean

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Trunkline needs Python 3.11 or newer; set PYTHON=…") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

up: $(STAMP)            ## set up .venv, then run the gateway until Ctrl-C
	$(BIN)/trunkline up

test: $(STAMP)          ## set up .venv, then run every test
	scripts/install_test_tools.sh
	$(BIN)/python -m pytest -n 3 --dist loadgroup

quick: $(STAMP)         ## the fast tests that start no other process, in under a minute on two quiet cores
	$(BIN)/python -m pytest -n 2 --dist loadgroup -q -m 'not ($(STARTING) or slow)'

coverage: $(STAMP)      ## what the tests that start no other process reach; fails below the floor of pyproject.toml
	$(BIN)/python -m pytest -n 2 --dist loadgroup -q -m 'not ($(STARTING))' --cov --cov-report term

check: $(STAMP)         ## style, types, import contracts, generated code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror envoy/module/*.[ch] tests/envoy/drivers/*.[ch] fuzz/c/*.[ch]
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory generated

generated: $(STAMP)     ## compare the generated code with what it is made from
	$(BIN)/python -m scripts.generate_proto --check
	$(BIN)/python -m scripts.generate_openapi --check
	$(BIN)/python -m scripts.generate_console_api --check

proto: $(STAMP)         ## regenerate proto/trunkline_proto/**/*_pb2*.py, the console's description of the API, and the OpenAPI document
	$(BIN)/python -m scripts.generate_proto
	$(BIN)/python -m scripts.generate_openapi
	$(BIN)/python -m scripts.generate_console_api

golden: $(STAMP)        ## renew tests/golden/*.envoy.yaml, the configuration that each case becomes
	$(BIN)/python -m tests.golden

clients: $(STAMP)       ## run every client in tests/clients, and renew the table in docs/clients.md
	$(BIN)/python -m tests.clients

lock: $(STAMP)          ## bring every lock file of Python up to date with what it is made from
	$(LOCK) requirements.lock --all-extras pyproject.toml
	$(LOCK) proto/generator.lock proto/generator.in
	$(LOCK) $(NODE_LOCKS)/oldest.lock --extra node --resolution lowest-direct pyproject.toml
	$(LOCK) $(NODE_LOCKS)/machine_learning.lock --extra node --constraint $(NODE_LOCKS)/machine_learning.in pyproject.toml
	$(LOCK) $(NODE_LOCKS)/newest.lock --extra node --upgrade pyproject.toml
	$(LOCK) tests/clients/python/clients.lock tests/clients/python/clients.in
	$(LOCK) docs/site.lock docs/site.in

docs: $(STAMP)          ## build/site: the documentation as pages
	$(BIN)/python -m scripts.build_docs

bench: $(STAMP)         ## compare the gateway with a bare Envoy: cost, start, changes, failover, control plane
	$(BIN)/python -m bench

fuzz: $(STAMP)          ## try to break every parser: FUZZ_SECONDS for each target, 60 unless it is set
	scripts/install_fuzz_tools.sh $(BIN)/python
	$(BIN)/python -m fuzz

wheel: $(STAMP)         ## dist/*.whl, with Envoy's module compiled for every system that it runs on
	$(BIN)/hatchling build -t wheel

clean:
	rm -rf $(VENV) build dist data .pytest_cache .mypy_cache .ruff_cache

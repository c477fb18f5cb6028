# Every task of this project. `make` or `make help` lists them.

PYTHON ?= python3
VENV ?= .venv
DATA ?= .demo
PORT ?=
PYTEST_ARGS ?=
# Most tests wait for servers more than they work.
JOBS ?= 4
# To measure takes a third of the time besides.
COVERAGE := --cov --cov-report=term --cov-fail-under=90

BIN := $(VENV)/bin
STAMP := $(VENV)/installed.stamp
DEMO_STAMP := $(VENV)/installed-demo.stamp
REGIONAL_STAMP := $(VENV)/installed-regional.stamp
DEMONSTRATION := $(BIN)/python -m polytope_demonstration
DEMONSTRATION_ARGS := --data "$(DATA)" $(if $(PORT),--port $(PORT))

# Images take minutes to build, so `make test` leaves these tests out.
CONTAINER_TESTS := POLYTOPE_CONTAINERS=1 $(BIN)/python -m pytest tests/containers

# Compiled modules are kept, whatever the environment says: a test run starts thousands of processes.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install services demo demo-regional run test test-unit test-faults test-archive coverage lint format bench \
        image images-trial test-compose test-cluster lock metkit-tables mir-tables docs clean

help: ## list the tasks
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=python3.12  the interpreter to install for (3.11 or later)"
	@echo "  DATA=DIR           where demo and run keep everything (.demo)"
	@echo "  PORT=N             port of the server of demo and run"
	@echo "  PYTEST_ARGS=...    further arguments for pytest"
	@echo "  JOBS=N             how many tests run at a time (4)"

install: $(STAMP) ## make the virtual environment .venv with everything in it

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or later is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(DEMO_STAMP) $(REGIONAL_STAMP)

# The demonstration needs no tools of development, which come with `make install`.
# pip need not compile modules, most of which are never imported.
$(DEMO_STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[demo]'
	@touch $@

$(REGIONAL_STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[demo,mir]'
	@touch $@ $(DEMO_STAMP)

services: $(STAMP) ## fetch or install the real servers that the tests need, and say which cannot be had
	@$(BIN)/python -m testbed.services

demo: $(DEMO_STAMP) ## start a server, retrieve fields and features from it, draw them, stop it
	@exec $(DEMONSTRATION) demo $(DEMONSTRATION_ARGS)

demo-regional: $(REGIONAL_STAMP) ## retrieve and draw a part of the world on a finer grid (290 MB of packages more)
	@exec $(DEMONSTRATION) demo-regional $(DEMONSTRATION_ARGS)

run: $(DEMO_STAMP) ## start a server with demonstration data, and leave it running
	@exec $(DEMONSTRATION) run $(DEMONSTRATION_ARGS)

test: services ## run all tests, on real servers
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-unit: $(STAMP) ## run the unit tests
	$(BIN)/python -m pytest tests/unit $(PYTEST_ARGS)

test-faults: services ## run the tests that kill processes and servers with more requests and rounds, and long uploads
	POLYTOPE_FAULTS=full $(BIN)/python -m pytest tests/integration/test_faults.py tests/integration/test_outages.py \
	  tests/integration/test_brokers.py tests/integration/test_absences.py tests/integration/test_clocks.py \
	  tests/integration/test_mixed_versions.py tests/integration/test_postprocess_memory.py \
	  tests/deployment/test_proxies.py $(PYTEST_ARGS)

test-archive: $(STAMP) ## archive 2,000 GRIB messages of all kinds, and ask for each of them
	POLYTOPE_MESSAGES=2000 $(BIN)/python -m pytest tests/integration/test_fdb_any_upload.py -s $(PYTEST_ARGS)

test-cluster: $(STAMP) ## install the chart on a real cluster and disturb it: KUBECONFIG's, or one made here
	tests/cluster/run.sh $(PYTEST_ARGS)

coverage: ## run all tests, and show line by line what they reach (htmlcov/)
	$(MAKE) test PYTEST_ARGS="$(COVERAGE) $(PYTEST_ARGS)"
	$(BIN)/python -m coverage html --quiet
	@echo "open htmlcov/index.html"

lint: $(STAMP) ## check style and types
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

format: $(STAMP) ## format the code
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

bench: services ## measure the server (benchmarks/README.md)
	$(BIN)/python -m benchmarks

image: $(STAMP) ## build the images of the server, and check them (BASE_IMAGE=, REGISTRY=, TAG=, PUSH=1; needs Docker)
	polytope-deployment/build-images common worker
	$(CONTAINER_TESTS)/test_images.py tests/containers/test_plug_in.py $(PYTEST_ARGS)

images-trial: ## build the images of MongoDB, RabbitMQ, Redis and S3 for trials (needs Docker)
	polytope-deployment/build-images mongodb rabbitmq redis s3

test-compose: $(STAMP) ## build all images, and test the server as compose.yaml runs it (needs Docker)
	polytope-deployment/build-images common worker mongodb rabbitmq redis s3
	$(CONTAINER_TESTS)/test_compose.py $(PYTEST_ARGS)

lock: $(STAMP) ## write the lock files of the images again (UPGRADE=1: with the newest versions)
	$(BIN)/python requirements/lock.py $(if $(UPGRADE),--upgrade)

metkit-tables: $(STAMP) ## write the tables by which requests to an FDB are checked again, of the installed metkit
	$(BIN)/python -m polytope_server.datasource.fdb.metkit.generate

mir-tables: $(STAMP) ## write the names of areas, and the pairs of parameters, again, of the installed MIR
	$(BIN)/python -m polytope_server.datasource.fdb.postprocess.generate

docs: $(STAMP) ## write the pages that are generated: configuration, migration, values of the chart
	$(BIN)/python -m polytope_server.config.reference > docs/configuration.md.new
	@mv docs/configuration.md.new docs/configuration.md
	$(BIN)/python -m polytope_server.config.migration.page > docs/migration.md.new
	@mv docs/migration.md.new docs/migration.md
	$(BIN)/python polytope-deployment/charts/values_table.py

clean: ## remove the virtual environment, caches and build output (not DATA)
	rm -rf $(VENV) build dist htmlcov *.egg-info .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

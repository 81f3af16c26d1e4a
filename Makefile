# Everything a contributor runs. `make help` lists it.
PYTHON ?= python3
PORT ?= 8000
REPLICAS ?= 1
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-done

.DEFAULT_GOAL := help
.PHONY: help setup check format test test-serve test-contract test-slow serve serve-ray bundle \
	compare toy-table density-table tails-table graph-table inference-table bound-table \
	outlier-table bench-graphs clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv with the pinned dependencies (PYTHON=python3.12 picks another Python)

# torch goes first and alone: a machine that has a CPU build of it keeps that build.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else "expected Python 3.11, 3.12 or 3.13, got %d.%d: name one with make setup PYTHON=python3.11" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)" -c constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray,train,plot,dev]'
	@touch $(STAMP)
	@echo "ready: make serve, or source $(VENV)/bin/activate and logdet --help"

check: setup ## Format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m service.grpc.generate --check

format: setup ## Apply the formatter and the safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: setup ## All tests
	$(BIN)/pytest -q

test-serve: setup ## Only the tests that start the service as a process
	$(BIN)/pytest -q -m serve

# A process each: what an export leaves behind in torch must not help or hurt the next family's.
test-contract: setup ## Every family of flows, plain and conditional, exported and put beside float64
	@set -e; for family in $$($(BIN)/logdet families | sed -n '1d;/^$$/q;s/ .*//p'); do \
	  echo "$$family"; $(BIN)/pytest -q -m contract -k "$$family." tests/training/test_contract.py; done
	$(BIN)/pytest -q -m contract tests/training/vae

test-slow: setup ## What takes longer: graph limits at 64 features and the like
	$(BIN)/pytest -q -m slow

serve: setup ## Serve the shipped bundles on 127.0.0.1 (PORT=8000)
	@exec $(BIN)/logdet serve --port $(PORT)

serve-ray: setup ## The same on Ray Serve (PORT=8000 REPLICAS=1)
	@exec $(BIN)/logdet serve --ray --port $(PORT) --replicas $(REPLICAS)

bundle: setup ## Train the shipped shuttle bundle again
	$(BIN)/logdet train shuttle

compare: setup ## Put the shipped bundle beside Gaussian mixtures (docs/shuttle.md)
	$(BIN)/python -m training.compare exported/bundles/shuttle/1

toy-table: setup ## Divergence of every family from known densities, into docs/tables (resumes)
	$(BIN)/python -m training.tables.divergence --out docs/tables

density-table: setup ## Every family on real sets, into docs/tables: make density-table DATA=FOLDER (resumes)
	@test -n "$(DATA)" || { echo "name the folder of the sets: make density-table DATA=FOLDER" >&2; exit 2; }
	$(BIN)/python -m training.tables.density --data $(DATA) --out docs/tables

tails-table: setup ## What far rows cost under each base, into docs/tables
	$(BIN)/python -m training.tables.tails --out docs/tables

graph-table: setup ## Sizes and load times of every family's graphs, and ways to decode, into docs/tables
	$(BIN)/python -m training.tables.graphs --out docs/tables

inference-table: setup ## Flows fitted to known potentials, table and picture into docs/tables
	$(BIN)/python -m training.tables.inference --out docs/tables

bound-table: setup ## Flow-VAEs on images, into docs/tables: make bound-table DATA=FOLDER (resumes)
	@test -n "$(DATA)" || { echo "name the folder of the images: make bound-table DATA=FOLDER" >&2; exit 2; }
	$(BIN)/python -m training.tables.bounds --data $(DATA) --out docs/tables

outlier-table: setup ## Scores of images of another set: make outlier-table MNIST=FOLDER FASHION=FOLDER
	@test -n "$(MNIST)" -a -n "$(FASHION)" || { echo "name the folders: make outlier-table MNIST=FOLDER FASHION=FOLDER" >&2; exit 2; }
	$(BIN)/python -m training.tables.outliers --mnist $(MNIST) --fashion $(FASHION) --out docs/tables

bench-graphs: setup ## Exported graphs beside their matrix products and other libraries, into docs/tables
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.graphs.run --out docs/tables

clean: ## Remove caches and build folders, not .venv
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

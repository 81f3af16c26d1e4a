# Everything a contributor runs. `make help` lists it.
PYTHON ?= python3
PORT ?= 8000
REPLICAS ?= 1
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-done

.DEFAULT_GOAL := help
.PHONY: help setup check format test test-serve serve serve-ray bundle compare clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv with the pinned dependencies (PYTHON=python3.12 picks another Python)

# torch goes first and alone: a machine that has a CPU build of it keeps that build.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else "expected Python 3.11, 3.12 or 3.13, got %d.%d: name one with make setup PYTHON=python3.11" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)" -c constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray,train,dev]'
	@touch $(STAMP)
	@echo "ready: make serve, or source $(VENV)/bin/activate and logdet --help"

check: setup ## Format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Apply the formatter and the safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: setup ## All tests
	$(BIN)/pytest -q

test-serve: setup ## Only the tests that start the service as a process
	$(BIN)/pytest -q -m serve

serve: setup ## Serve the shipped bundle on 127.0.0.1 (PORT=8000)
	@exec $(BIN)/logdet serve --port $(PORT)

serve-ray: setup ## The same on Ray Serve (PORT=8000 REPLICAS=1)
	@exec $(BIN)/logdet serve --ray --port $(PORT) --replicas $(REPLICAS)

bundle: setup ## Train the shipped shuttle bundle again
	$(BIN)/logdet train shuttle

compare: setup ## Put the shipped bundle beside Gaussian mixtures (docs/shuttle.md)
	$(BIN)/python -m training.compare exported/bundles/shuttle/1

clean: ## Remove caches and build folders, not .venv
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

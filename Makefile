# Everything a contributor runs. `make help` lists it.
PYTHON ?= python3
PORT ?= 8000
REPLICAS ?= 1
ROUNDS ?= 3
PHASE_S ?= 3
VENVS ?= build/peers
MINUTES ?= 30
ENGINE ?= embedded
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-done
S3_SERVER := build/s3/bin/moto_server

.DEFAULT_GOAL := help
.PHONY: help setup check audit sbom lock image-sizes format test test-serve test-contract test-slow replay test-faults soak \
	serve serve-ray bundle compare toy-table density-table tails-table trim-table why-table graph-table \
	inference-table bound-table outlier-table anomaly-table manifests bench bench-bundle bench-peers bench-graphs \
	bench-batch bench-gpu h2load dashboard clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) $(S3_SERVER) ## Create .venv with the pinned dependencies (PYTHON=python3.12 picks another Python)

# torch goes first and alone: a machine that has a CPU build of it keeps that build.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else "expected Python 3.11, 3.12 or 3.13, got %d.%d: name one with make setup PYTHON=python3.11" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)" -c constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray,train,plot,dev]'
	@touch $(STAMP)
	@echo "ready: make serve, or source $(VENV)/bin/activate and logdet --help"

# What stands in for a bucket in the tests; its packages and ours do not go together.
$(S3_SERVER): tests/storage/requirements.txt | $(STAMP)
	@test -x build/s3/bin/python || $(BIN)/python -m venv build/s3
	@build/s3/bin/python -m pip install --quiet --disable-pip-version-check -r tests/storage/requirements.txt
	@touch $@

check: setup ## Format, lint, types, import rules, risky calls
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy -p deploy
	$(BIN)/lint-imports
	$(BIN)/python -m service.grpc.generate --check
	$(BIN)/python -m bandit -q -c pyproject.toml -r exported service logdet training

audit: setup ## Look the pinned packages up among known vulnerabilities
	@PYTHON=$(BIN)/python .ci/audit

sbom: setup ## What a service is made of (CycloneDX), into dist/sbom.json
	$(BIN)/python .ci/sbom.py

# One file of hashes for each image. torch's build without CUDA is in an index of its own: name it in UV_INDEX.
LOCK = $(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --only-binary :all: \
	--python-version 3.11 --python-platform x86_64-manylinux_2_28 --custom-compile-command "make lock" -c constraints.txt
lock: setup ## What the images install, with hashes, into deploy/locks
	grep -o 'setuptools==[^"]*' pyproject.toml | $(LOCK) - -o deploy/locks/build.txt > /dev/null
	$(LOCK) pyproject.toml --extra ray --extra tracing --override deploy/locks/cpu.in -o deploy/locks/service-cpu.txt
	$(LOCK) pyproject.toml --extra ray --extra tracing --extra cuda -o deploy/locks/service-cuda.txt
	$(LOCK) pyproject.toml --extra train --override deploy/locks/cpu.in -o deploy/locks/train-cpu.txt
	env -u UV_INDEX -u UV_FIND_LINKS $(LOCK) pyproject.toml --extra train -o deploy/locks/train-cuda.txt

image-sizes: setup ## What the packages of each image take, into docs/tables (downloads some 5 GB)
	$(BIN)/python -m deploy.sizes > docs/tables/images.md

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

replay: setup ## Follow the Dockerfile without a container engine, start the service of it and ask
	$(BIN)/pytest -q -m slow tests/deploy/replay

# Not beside other work: how long a proxy is away is measured, and a start wants both processors.
test-faults: setup ## Break the service under traffic; the figures go into docs/tables/faults.md
	FAULTS_TABLE=docs/tables/faults.md $(BIN)/pytest -q -m "faults or serve" tests/faults

soak: setup ## Mixed traffic, every answer compared (MINUTES=30 ENGINE=embedded or ray), into docs/tables
	$(BIN)/python -m tests.soak.run --minutes $(MINUTES) --engine $(ENGINE) --out docs/tables/soak.md

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

trim-table: setup ## What trimming does to contaminated rows, into docs/tables
	OMP_NUM_THREADS=1 $(BIN)/python -m training.tables.trimming --out docs/tables

why-table: setup ## How often explanations name the feature that is wrong, into docs/tables
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.explanations.planted --out docs/tables

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

anomaly-table: setup ## Labelled anomalies beside other detectors: make anomaly-table DATA=FOLDER (resumes)
	@test -n "$(DATA)" || { echo "name the folder of the sets: make anomaly-table DATA=FOLDER" >&2; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[tables]' || echo "without PyOD"
	OMP_NUM_THREADS=1 $(BIN)/python -m training.tables.anomalies --data $(DATA) --out docs/tables
	OMP_NUM_THREADS=1 $(BIN)/python -m training.tables.anomalies --data $(DATA) --out docs/tables --choices

dashboard: setup ## Grafana's dashboard from deploy/grafana, into deploy/grafana/dashboards
	$(BIN)/python -m deploy.grafana.dashboard

manifests: setup ## The rules of Prometheus as a manifest for its operator (deploy/kubernetes)
	$(BIN)/python deploy/kubernetes/rules.py

# The flow that is put under load. Made again where the code that makes graphs has changed.
BENCH := build/bench
BENCH_BUNDLE := $(BENCH)/bundles/nsf/1/manifest.json
BENCH_OPTIONS = --folder $(BENCH) --out docs/tables --rounds $(ROUNDS) --seconds $(PHASE_S)

$(BENCH_BUNDLE): $(shell find training exported -name '*.py') tests/bench/flow.py | setup
	$(BIN)/python -m tests.bench.flow $(BENCH)

h2load:
	@command -v h2load > /dev/null || { echo "h2load is needed (Debian: apt-get install nghttp2-client)" >&2; exit 2; }

bench-bundle: $(BENCH_BUNDLE) ## Train the small flow that make bench serves

bench: h2load $(BENCH_BUNDLE) ## The service under load, both engines, into docs/tables (resumes; ROUNDS=3 PHASE_S=3)
	$(BIN)/python -m tests.bench.run $(BENCH_OPTIONS)

bench-peers: h2load $(BENCH_BUNDLE) ## Beside other servers: make bench-peers PEERS=FOLDER VENVS=FOLDER (resumes)
	@test -n "$(PEERS)" || { echo "name the folder that describes them: make bench-peers PEERS=FOLDER" >&2; exit 2; }
	$(BIN)/python -m tests.bench.run_peers --peers $(PEERS) --venvs $(VENVS) $(BENCH_OPTIONS)

bench-graphs: setup ## Exported graphs beside their matrix products and other libraries, into docs/tables
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.graphs.run --out docs/tables

bench-batch: setup ## Ten million rows through logdet score beside onnxruntime alone, into docs/tables
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.batch --folder $(BENCH) --out docs/tables

# TensorRT in a process of its own: the variable would turn TF32 off where the service has to.
bench-gpu: setup ## Every family on the GPU at hand, into docs/tables (resumes; says so where there is none)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.gpu.run --out docs/tables
	OMP_NUM_THREADS=1 NVIDIA_TF32_OVERRIDE=0 $(BIN)/python -m tests.bench.gpu.run --tensorrt --rounds 1 --out docs/tables

clean: ## Remove caches and build folders, not .venv
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

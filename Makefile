# Every target does its own set-up on Debian or Ubuntu with Python 3.11 to 3.13.
# Two to begin with: `make demo` and `make test`.

BIN := .venv/bin
PYTEST_ARGS ?=
# A worker for each core; a file's tests share what they start.
PARALLEL ?= -n auto --dist loadfile
BENCH_ARGS ?=

.PHONY: help demo test test-all lint format docs bench fuzz lock image clean environment environment-dev peers

help: ## What there is to make
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: environment ## Run an archive with real studies in it; DEMO_EXIT=1 stops it when all is safe
	$(BIN)/fileroom demo --data demo-data

test: environment-dev peers ## Run every test but the slow ones
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL) $(PYTEST_ARGS)

test-all: environment-dev peers ## Run every test
	$(BIN)/python -m pytest $(PARALLEL) $(PYTEST_ARGS)

lint: environment-dev ## Check style, types and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: environment-dev ## Put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: environment-dev ## Write again what the pages have from the code: tables and docs/openapi.json
	$(BIN)/python -m fileroom.cli.reference docs

bench: environment-dev peers ## Measure the archive and its peers in turn; prints ratios
	$(BIN)/python bench/run.py $(BENCH_ARGS)

fuzz: environment-dev ## Run property tests and fuzz targets long, each on a hundred times as many inputs
	$(BIN)/python -m pytest tests/property tests/fuzz --hypothesis-profile=fuzz $(PYTEST_ARGS)

lock: ## Choose the newest packages and write the locks again (needs uv)
	scripts/lock

image: ## Build the container image (needs podman or docker)
	$$(command -v podman || command -v docker) build -f Containerfile -t fileroom .

clean: ## Remove the environment and the demo's data
	rm -rf .venv demo-data dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

environment:
	@scripts/environment run

environment-dev:
	@scripts/environment dev

peers:
	@scripts/peers

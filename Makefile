.DEFAULT_GOAL := help
VENV := .venv/bin
PYTEST := $(VENV)/python -m pytest
ARGS ?=

.PHONY: help install components compiled up check docs fmt test test-fast system simulate bench lock

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: ## Set up .venv with the command `cinesync`
	@scripts/install

components: install ## Set up what the tests run against beside Python
	@scripts/components

up: install ## Run a shop on http://127.0.0.1:8000 (ARGS="--port 9000 --data DIR" for others)
	@exec $(VENV)/cinesync up $(ARGS)

check: install ## Style, types, architecture
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports
	@scripts/javascript

docs: install ## Build the documentation into build/docs; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(VENV)/mkdocs build --clean && echo "docs: build/docs/index.html"

fmt: install ## Format the code
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

# Else each test process compiles all tests for itself, under coverage: five times as long.
compiled: install
	@$(PYTEST) --collect-only --quiet --no-cov >/dev/null || true # `make test` says why

# One test process more than cores: many tests wait for other processes.
test: install components ## All tests, with coverage
	@rm -f .coverage .coverage.*
	$(PYTEST) -n 3 --dist loadgroup --cov --cov-report= --durations=25 $(ARGS)

test-fast: install ## The tests that take less than a minute together
	$(PYTEST) -n 2 --dist loadgroup -m "not slow and not rabbitmq and not browser" $(ARGS)

system: install components ## Whole flows only: crash, race, browser
	$(PYTEST) -m "slow" $(ARGS)

simulate: install ## Run SEEDS=10000 histories of the consensus under faults
	$(VENV)/python -m tests.simulation.simulate --seeds $(or $(SEEDS),10000) --workers 2

bench: install ## Measure, and write bench/results
	$(VENV)/python -m bench $(ARGS)

lock: install ## Pin every dependency again
	$(VENV)/uv pip compile pyproject.toml --extra dev --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --upgrade --quiet -o requirements.lock

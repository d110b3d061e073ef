.DEFAULT_GOAL := help
VENV := .venv/bin
PYTEST := $(VENV)/python -m pytest
ARGS ?=

.PHONY: help install components compiled up check docs fmt test test-fast system simulate bench lock

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: ## Create .venv with all dependencies and the command `cinesync`
	@scripts/install

components: install ## Install what the tests need beside Python: broker, browser, …
	@scripts/components

up: install ## Run a shop on http://127.0.0.1:8000 (ARGS="--port 9000 --data DIR")
	@exec $(VENV)/cinesync up $(ARGS)

check: install ## Check style, types, imports and JavaScript
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports
	@scripts/javascript

docs: install ## Build the documentation into build/docs, and check its links
	@NO_MKDOCS_2_WARNING=1 $(VENV)/mkdocs build --clean && echo "docs: build/docs/index.html"

fmt: install ## Format the Python code, and fix what ruff can fix
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

# Otherwise each test process compiles all tests itself, under coverage: five times as slow.
compiled: install ## Compile all tests once, before several processes run them
	@$(PYTEST) --collect-only --quiet --no-cov >/dev/null || true # `make test` reports errors

# One test process more than cores: many tests wait for other processes.
test: install components ## Run all tests with coverage (ARGS="tests/unit -k name")
	@rm -f .coverage .coverage.*
	$(PYTEST) -n 3 --dist loadgroup --cov --cov-report= --durations=25 $(ARGS)

test-fast: install ## Run the fast tests: about a minute
	$(PYTEST) -n 2 --dist loadgroup -m "not slow and not rabbitmq and not browser" $(ARGS)

system: install components ## Run the slow tests only: whole shops, crashes, browser
	$(PYTEST) -m "slow" $(ARGS)

simulate: install ## Simulate the consensus under faults, for SEEDS=10000 seeds
	$(VENV)/python -m tests.simulation.simulate --seeds $(or $(SEEDS),10000) --workers 2

bench: install ## Measure performance, and write bench/results
	$(VENV)/python -m bench $(ARGS)

lock: install ## Pin all dependencies in requirements.lock again
	$(VENV)/uv pip compile pyproject.toml --extra dev --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --upgrade --quiet -o requirements.lock

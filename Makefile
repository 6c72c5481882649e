# Two commands do everything on a fresh machine: `make run` and `make test`.
SHELL := /bin/bash
HOME_DIR ?= $(CURDIR)
CHURN := CHURN_HOME=$(HOME_DIR) .venv/bin/churn

.PHONY: help setup postgres chromium duckdb run test test-all test-long test-faults test-daemon test-kills test-nightly stack-test \
  clear-test-homes env pin-images audit generate lint lint-python lint-types lint-sql format ui bench bench-million clean lock

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup:  ## Build .venv with the churn command
	@scripts/setup.sh

chromium:  ## Find Chromium for the tests of the weekly report, or install the distribution's
	@scripts/chromium.sh >/dev/null

duckdb: setup  ## Build the environments in which old versions of DuckDB read what is published, for the tests
	@scripts/duckdb.sh 1.0 >/dev/null
	@scripts/duckdb.sh 1.4 >/dev/null

run: setup  ## Run this Monday; simulates a company where data/raw is empty
	@if [ -z "$$(ls -A $(HOME_DIR)/data/raw 2>/dev/null)" ]; then $(CHURN) simulate --out $(HOME_DIR)/data; fi
	@$(CHURN) run

postgres:  ## Find PostgreSQL's server for the tests; install Debian's package where absent and root
	@scripts/postgres.sh >/dev/null

# A file of tests stays with one worker; the files that take longest begin, so that the workers end together (tests/conftest.py). Each worker
# takes up to 2 GB. XGBoost's threads spin while they wait, which on a core that another worker wants made two trainings side by side take
# twice as long as one after the other. What each target proves, and how long it takes: docs/testing.md.
# One more than cores: what waits for a daemon, a browser or a server leaves its core to the others.
WORKERS ?= 3
# With bytecode, or every worker compiles every file of tests in every run.
PYTEST := env -u PYTHONDONTWRITEBYTECODE OMP_WAIT_POLICY=passive .venv/bin/pytest
BESIDE = -n $(WORKERS) --dist loadfile --no-loadscope-reorder
test: setup postgres chromium duckdb  ## Run the tests of every day (about 13 minutes on two cores)
	$(PYTEST) $(BESIDE)

test-all: setup postgres chromium duckdb  ## Run every test but those of test-nightly: what CI runs
	$(PYTEST) $(BESIDE) -m 'not nightly'

test-long: setup postgres  ## Whole replays, re-executions, erasures, the home of an older version and the truncation test
	$(PYTEST) $(BESIDE) -m 'long and not nightly'

test-faults: setup postgres  ## Break things for real: full disk, held and damaged files, no MLflow, no Slack, wrong clock
	$(PYTEST) $(BESIDE) -m 'faults and not nightly' tests/faults --ignore=tests/faults/test_kills.py --ignore=tests/faults/test_daemon.py

test-daemon: setup  ## Dagster's web server and daemon as processes: a backfill, the queue, the schedule over a DST change
	$(PYTEST) -m 'faults and not nightly' tests/faults/test_daemon.py

test-kills: setup  ## kill -9 where it matters most; at every stage and at fifty random moments in test-nightly
	$(PYTEST) -m 'faults and not nightly' tests/faults/test_kills.py

stack-test: setup postgres  ## Run docker-compose.yml without Docker: its services as processes, a Monday through the daemon, read back through SQL
	$(PYTEST) -m 'stack and not nightly' tests/stack

test-nightly: setup postgres  ## What takes too long for CI: fifty random kills, the oracle's tables, real data, the stack restored from a backup
	failed=0; \
	$(PYTEST) $(BESIDE) -m nightly --ignore=tests/stack || failed=1; \
	$(PYTEST) -m stack tests/stack || failed=1; \
	exit $$failed

clear-test-homes:  ## Remove the prepared homes of the tests
	.venv/bin/python -m tests.support.companies --clear

env:  ## Write .env for docker compose: a new secret in every place of change-me
	@scripts/env.sh

pin-images: setup  ## Write the digests of the images beside their tags, where their registries answer
	@.venv/bin/python scripts/pin_images.py

audit: setup  ## SBOMs of the images in build/sbom, and the known vulnerabilities of their packages
	@.venv/bin/python scripts/audit.py

bench: setup  ## Measure the pipeline beside the least that the same work can cost; BENCH=--help says what can be asked for
	.venv/bin/python -W ignore -m benchmarks $(BENCH)

bench-million: setup  ## The same with 1,000,000 customers and 200 million events; not measured yet, expect hours
	.venv/bin/python -W ignore -m benchmarks --million $(BENCH)

generate: setup  ## Write what follows from declarations: what dbt has to know of the targets, Grafana's boards, pages of docs
	.venv/bin/python -m churn_pipeline.core.dbt_targets
	.venv/bin/python -W ignore -m churn_pipeline.delivery.grafana
	.venv/bin/python -W ignore -m churn_pipeline.contract.docs > docs/data-contract.md.new && mv docs/data-contract.md.new docs/data-contract.md
	.venv/bin/python -W ignore -m churn_pipeline.core.settings > docs/settings.md.new && mv docs/settings.md.new docs/settings.md
	.venv/bin/python -W ignore -m churn_pipeline.sources.docs > docs/sources.md.new && mv docs/sources.md.new docs/sources.md
	.venv/bin/python -W ignore -m churn_pipeline.quality.docs
	.venv/bin/python -W ignore -m tests.support.reasons_page > docs/reasons.md.new && mv docs/reasons.md.new docs/reasons.md

lint: lint-python lint-types lint-sql  ## Check format, style, types and SQL

lint-python: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

lint-types: setup
	.venv/bin/mypy

lint-sql: setup
	.venv/bin/sqlfluff lint --disable-progress-bar dbt_project/models dbt_project/tests

format: setup  ## Rewrite what lint would complain about
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

ui: setup  ## Open the Dagster UI on this home, by the address that it prints
	@$(CHURN) ui

lock: setup  ## Resolve the dependencies again into requirements.lock, and those of the two images into docker/ and mlflow/
	.venv/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.12 --generate-hashes --no-header --upgrade --quiet -o requirements.lock
	.venv/bin/uv pip compile mlflow/requirements.in --constraint requirements.lock --universal --python-version 3.12 --generate-hashes --no-header --quiet -o mlflow/requirements.lock
	.venv/bin/uv pip compile pyproject.toml --extra api --extra briefs --extra s3 --constraint requirements.lock --universal --python-version 3.12 --generate-hashes --no-header --quiet -o docker/requirements.lock

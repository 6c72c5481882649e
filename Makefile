# Two commands do everything on a fresh machine: `make run` and `make test`.
SHELL := /bin/bash
HOME_DIR ?= $(CURDIR)
CHURN := CHURN_HOME=$(HOME_DIR) .venv/bin/churn

.PHONY: help setup postgres chromium run test test-long test-faults test-daemon test-kills stack-test env generate lint format ui bench clean lock

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup:  ## Build .venv with the churn command
	@scripts/setup.sh

chromium:  ## Find Chromium for the tests of the weekly report, or install the distribution's
	@scripts/chromium.sh >/dev/null

run: setup  ## Run this Monday; simulates a company where data/raw is empty
	@if [ -z "$$(ls -A $(HOME_DIR)/data/raw 2>/dev/null)" ]; then $(CHURN) simulate --out $(HOME_DIR)/data; fi
	@$(CHURN) run

postgres:  ## Find PostgreSQL's server for the tests; install Debian's package where absent and root
	@scripts/postgres.sh >/dev/null

# A file of tests stays with one worker, which builds its homes once. Each worker takes up to 2 GB. XGBoost's threads spin while they wait,
# which on a core that another worker wants made two trainings side by side take twice as long as one after the other.
WORKERS ?= 2
test: setup postgres chromium  ## Run the tests (under ten minutes on two cores)
	OMP_WAIT_POLICY=passive .venv/bin/pytest -n $(WORKERS) --dist loadfile

test-long: setup postgres  ## Run the tests that take longer: model quality on whole companies, and real data
	.venv/bin/pytest -m long

test-faults: setup postgres  ## Break things for real: full disk, held and damaged files, no MLflow, no Slack, wrong clock
	.venv/bin/pytest -m faults tests/faults --ignore=tests/faults/test_kills.py --ignore=tests/faults/test_daemon.py

test-daemon: setup  ## Dagster's web server and daemon as processes: a backfill, the queue, the schedule over a DST change
	.venv/bin/pytest -m faults tests/faults/test_daemon.py

test-kills: setup  ## kill -9 at every stage and at fifty random moments (forty minutes)
	.venv/bin/pytest -m faults tests/faults/test_kills.py

stack-test: setup postgres  ## Run docker-compose.yml without Docker: its services as processes, a Monday through the daemon, read back through SQL
	.venv/bin/pytest -m stack tests/stack

env:  ## Write .env for docker compose, with new passwords
	@scripts/env.sh

bench: setup  ## Measure what a replay costs beside its parts (twelve minutes)
	.venv/bin/python -W ignore -m benchmarks.replay

generate: setup  ## Write what follows from declarations: what dbt has to know of the targets
	.venv/bin/python -m churn_pipeline.core.dbt_targets

lint: setup  ## Check format, style, types and SQL
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/sqlfluff lint --disable-progress-bar dbt_project/models dbt_project/tests

format: setup  ## Rewrite what lint would complain about
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

ui: setup  ## Open the Dagster UI on this home
	@$(CHURN) ui

lock: setup  ## Resolve the dependencies again into requirements.lock, and those of the MLflow server into mlflow/
	.venv/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.12 --generate-hashes --no-header --upgrade --quiet -o requirements.lock
	.venv/bin/uv pip compile mlflow/requirements.in --constraint requirements.lock --universal --python-version 3.12 --generate-hashes --no-header --quiet -o mlflow/requirements.lock

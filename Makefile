.DEFAULT_GOAL := help
SHELL := /bin/bash

# uv from the PATH; where there is none, one in a virtual environment of the project's own.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
RUN := $(UV) run --no-sync
STAMP := .venv/.synced
ALL := .venv/.synced-all
PYTHONS := 3.11 3.12 3.13
ACT := github.com/nektos/act@v0.2.89

.PHONY: help sync demo doctor test test-slow test-infra test-roles infra-docs test-cloud test-workflows test-athena test-torch test-all-pythons check format fuzz soak bench bench-plot bench-training bench-gpu lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[36m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## Watch the whole loop on real data, in about a minute (ARGS=--fast for a shorter replay)
	@$(RUN) mlops demo $(ARGS)

sync: | $(UV) ## Install the locked packages, as the workflows do (EXTRAS="aws render")
	@UV_COMPILE_BYTECODE=1 $(UV) sync --frozen --quiet $(addprefix --extra ,$(EXTRAS))
	@touch $(STAMP) $(if $(and $(findstring aws,$(EXTRAS)),$(findstring render,$(EXTRAS))),$(ALL))

doctor: $(STAMP) ## Say what is left to do in this repository, and what is wrong
	@$(RUN) mlops doctor $(ARGS)

test: $(ALL) ## Run the tests, in parallel, with coverage
	@$(RUN) pytest $(ARGS)

test-slow: $(ALL) ## Run the tests that take minutes each, before a release: whole projects, kills at every point
	@$(RUN) pytest -m 'slow and not bake' --no-cov $(ARGS)

test-roles: $(ALL) ## Ask a simulator of IAM, fetched by npm, what each role on AWS may do (half a minute)
	@$(RUN) pytest -m roles --numprocesses=0 --no-cov tests/infra $(ARGS)

test-infra: $(ALL) ## Run the tests of the environments on AWS, without AWS (a minute or two)
	@$(RUN) pytest -m infra -rs --no-cov tests/infra $(ARGS)

infra-docs: $(STAMP) ## Write the diagrams and the cost table in docs/aws.md from what the program registers
	@$(RUN) python -m infra.docs

test-cloud: $(ALL) ## Run what needs an emulator of AWS for minutes: faults, runs on SageMaker, the whole loop
	@$(RUN) pytest -m cloud --no-cov $(ARGS)

test-workflows: $(ALL) ## Execute the workflows by act, which Go installs (minutes; ARGS=-s tells the times of the whole path)
	@command -v act >/dev/null || test -x $(CURDIR)/.tools/act || { \
		if command -v go >/dev/null; then GOBIN=$(CURDIR)/.tools GOFLAGS=-mod=mod go install $(ACT); \
		else echo "neither act nor Go is here: the tests that execute workflows are skipped"; fi; }
	@$(RUN) pytest -m workflows -rs --numprocesses=0 --no-cov tests/workflows $(ARGS)

test-athena: $(ALL) ## Run Athena's SQL on Trino: TRINO_URL names one that runs on the emulator at AWS_ENDPOINT_URL
	@$(RUN) pytest -m athena --numprocesses=0 --no-cov tests/cloud/test_athena.py $(ARGS)

test-torch: $(STAMP) ## Install torch (4.5 GB) and run the tests of the networks, on the CPU or a GPU (minutes)
	@$(UV) sync --frozen --quiet --inexact --extra torch
	@$(RUN) pytest -m 'not bake' --numprocesses=0 --no-cov tests/neural $(ARGS)

test-all-pythons: | $(UV) ## Run the tests on every supported Python that is installed
	@for python in $(PYTHONS); do \
		echo "== Python $$python"; \
		UV_PROJECT_ENVIRONMENT=.venv-$$python $(UV) run --frozen --all-extras --python $$python pytest $(ARGS) || exit 1; \
	done

check: $(ALL) ## Lint, check formatting, types, layers and dependencies
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy
	@$(RUN) lint-imports --no-logo
	@$(RUN) deptry .

format: $(STAMP) ## Format the code and mend what the linter can
	@$(RUN) ruff check --fix
	@$(RUN) ruff format

fuzz: $(ALL) ## Send the serving app many thousand requests made from its contract
	@$(RUN) pytest -m fuzz --numprocesses=0 --no-cov tests/e2e/test_fuzz.py $(ARGS)

soak: $(ALL) ## Load the serving app for minutes and look for leaks (ARGS=--soak-seconds=300)
	@$(RUN) pytest -m soak --numprocesses=0 --no-cov tests/e2e/test_soak.py $(ARGS)

bench: $(ALL) ## Measure: join, ingest, online reads, drift, pipeline overhead, CLI start-up, rollback, serving
	@$(RUN) python -m tests.bench

bench-plot: $(ALL) ## Measure the serving app against others and draw docs/images/serving.png
	@$(RUN) python -m tests.bench serving --plot docs/images/serving.png

bench-training: $(STAMP) ## Install torch and others, and measure the training of networks (ARGS="training streaming models")
	@$(UV) sync --frozen --quiet --inexact --extra torch --group bench
	@$(RUN) python -m tests.bench $(or $(ARGS),training streaming)

bench-gpu: $(STAMP) ## The same where there is a GPU; says so where there is none
	@$(UV) sync --frozen --quiet --inexact --extra torch --group bench
	@$(RUN) python -c 'import torch; raise SystemExit(None if torch.cuda.is_available() else "There is no GPU here, so nothing was measured; make bench-training measures on the CPU.")'
	@$(RUN) python -m tests.bench training streaming

lock: | $(UV) ## Update the locked dependencies
	@$(UV) lock --upgrade

clean: ## Remove what can be made again: environments, caches, the demo's data
	rm -rf .venv .venv-3.* .uv .ratchet .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage report.html
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

-include tests/template/targets.mk # only the template has it

# Compiling the packages belongs to installing them: without it the first demo would pay for it.
$(STAMP): pyproject.toml uv.lock | $(UV)
	@UV_COMPILE_BYTECODE=1 $(UV) sync --frozen --inexact --quiet
	@touch $@

# What the other profiles need, which the demo does not.
$(ALL): $(STAMP)
	@UV_COMPILE_BYTECODE=1 $(UV) sync --frozen --extra aws --extra github --extra render --quiet
	@touch $@

.uv/bin/uv:
	@echo "Installing uv into .uv"
	@python3 -m venv .uv
	@.uv/bin/pip install --quiet --disable-pip-version-check uv

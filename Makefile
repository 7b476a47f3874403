.DEFAULT_GOAL := help
SHELL := /bin/bash

# uv from the PATH; where there is none, one in a virtual environment of the project's own.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
RUN := $(UV) run --no-sync
STAMP := .venv/.synced
ALL := .venv/.synced-all
# Programs of Go that no package of Python brings, with their versions.
TOOLS ?= $(CURDIR)/.tools
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
ACT := github.com/nektos/act@v0.2.89
GITLEAKS := github.com/zricethezav/gitleaks/v8@v8.30.1
PYTHONS := 3.11 3.12 3.13

# What builds an image as TAG from a folder, and the images' names. SageMaker takes an image of one platform with Docker's
# media types; a plain build makes an OCI index (https://github.com/aws/amazon-sagemaker-feedback/issues/180).
BUILD = docker build --platform linux/amd64 --provenance=false --output type=docker --tag
PROJECT = $(shell $(RUN) python -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["name"])')
TAG = local

.PHONY: help demo doctor check test format update adopt lock clean test-docs test-slow test-foreign test-infra test-engine test-roles test-cloud drill test-athena test-workflows test-cluster test-torch test-all-pythons check-workflows audit audit-packages fuzz soak bench bench-plot bench-training bench-gpu local-up local-down infra-preview infra-up infra-drift infra-destroy infra-docs image image-push

##@ Everyday

help: ## Show the targets of this file
	@awk -F ':.*## ' '/^##@ / {print "\n\033[1m" substr($$0, 5) "\033[0m"} /^[a-z-]+:.*## / {printf "  \033[36m%-18s\033[0m%s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(STAMP) ## Watch the whole loop in a minute (ARGS=--fast is shorter)
	@$(RUN) mlops demo $(ARGS)

doctor: $(if $(wildcard .venv/bin/mlops),,$(STAMP)) ## Say what is left to set up, and what is wrong
	@.venv/bin/mlops doctor $(ARGS) # not by uv, which stops at a pyproject.toml that it cannot read

check: $(ALL) ## Lint, and check formatting, types, layers and dependencies
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy
	@$(RUN) lint-imports --no-logo
	@$(RUN) deptry .

test: $(ALL) ## Run the tests, with coverage (ARGS="tests/unit -k gates")
	@$(RUN) pytest $(SUITE) $(ARGS)

format: $(STAMP) ## Format the code and fix what the linter can
	@$(RUN) ruff check --fix
	@$(RUN) ruff format

update: $(STAMP) ## Bring the template's changes (ARGS="--checkout v1.0.0")
	@.venv/bin/python -m pipelines.scaffold.update $(ARGS)

adopt: ## Put workflows where GitHub reads them: docs/adopt.md
	@python3 .github/adopt.py

lock: | $(UV) ## Update the locked dependencies
	@$(UV) lock --upgrade

clean: ## Remove environments, caches and the data of the demo
	rm -rf .venv .venv-3.* .uv .tools .ratchet .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage report.html
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Tests

test-docs: $(STAMP) ## Check that the docs name only what exists (seconds)
	@$(RUN) pytest --numprocesses=0 --no-cov tests/docs $(ARGS)

test-slow: $(ALL) ## Whole projects and kills at every point (minutes each)
	@$(RUN) pytest -m 'slow and not bake' --no-cov $(ARGS)

test-foreign: $(ALL) ## Data sets of others, up to retraining (minutes each)
	@$(RUN) pytest -m foreign --numprocesses=0 --no-cov $(ARGS)

test-infra: $(ALL) ## The environments, without AWS or a cluster (minutes)
	@$(RUN) pytest -m infra -rs --no-cov tests/infra $(ARGS)

test-engine: $(ALL) ## Pulumi's own engine, which Go builds (half an hour)
	@$(RUN) pytest -m engine -rs --no-cov tests/engine $(ARGS)

test-roles: $(ALL) ## What each role may do, by a simulator of IAM from npm
	@$(RUN) pytest -m roles --numprocesses=0 --no-cov tests/infra $(ARGS)

test-cloud: $(ALL) ## Faults and the whole loop on an emulator of AWS (minutes)
	@$(RUN) pytest -m cloud --no-cov $(ARGS)

drill: $(ALL) ## Lose an environment, and restore it elsewhere (a minute)
	@$(RUN) pytest --numprocesses=0 --no-cov -m 'slow or cloud' tests/e2e/test_drill.py tests/cloud/test_recovery.py $(ARGS)

test-athena: $(ALL) ## Athena's SQL on a Trino at TRINO_URL
	@$(RUN) pytest -m athena --numprocesses=0 --no-cov tests/cloud/test_athena.py $(ARGS)

test-workflows: $(ALL) ## Execute the workflows by act, which Go installs (minutes)
	@if command -v go >/dev/null; then $(MAKE) --no-print-directory $(TOOLS)/act $(TOOLS)/gitleaks; \
	else echo "Go is not here: what needs act or gitleaks, and finds none, is skipped"; fi
	@$(RUN) pytest -m workflows -rs --numprocesses=0 --no-cov tests/workflows $(ARGS)

test-cluster: $(ALL) ## On the cluster of KUBECONFIG, CLUSTER_BUILD, CLUSTER_HOST
	@$(RUN) pytest -m cluster -rs --numprocesses=0 --no-cov tests/cluster $(ARGS)

test-torch: $(STAMP) ## Install torch (4.5 GB) and test the networks (minutes)
	@$(UV) sync --frozen --quiet --inexact --extra torch
	@$(RUN) pytest -m 'not bake' --numprocesses=0 --no-cov tests/neural $(ARGS)

test-all-pythons: | $(UV) ## Run the tests on every supported Python that is installed
	@for python in $(PYTHONS); do \
		echo "== Python $$python"; \
		UV_PROJECT_ENVIRONMENT=.venv-$$python $(UV) run --frozen --all-extras --python $$python pytest $(ARGS) || exit 1; \
	done

check-workflows: $(ALL) $(TOOLS)/actionlint $(TOOLS)/gitleaks ## Lint the workflows, and check schemas and permissions
	@PATH="$(TOOLS):$$PATH" $(RUN) pytest --numprocesses=0 --no-cov tests/workflows/test_static.py tests/workflows/test_linters.py $(ARGS)

audit: $(STAMP) $(TOOLS)/gitleaks ## Look for secrets, and for faults of workflows
	@$(RUN) zizmor --offline --quiet .github
	@$(TOOLS)/gitleaks git --no-banner --redact --exit-code 1 .

audit-packages: | $(UV) ## Look for known weaknesses of the locked packages
	@$(UV) audit --frozen --preview-features audit-command

fuzz: $(ALL) ## Try thousands of random requests, contracts and rows
	@$(RUN) pytest -m fuzz --numprocesses=0 --no-cov tests/e2e/test_fuzz.py tests/e2e/test_hostile.py tests/unit/feature/test_contract_fuzz.py $(ARGS)

soak: $(ALL) ## Load the app, look for leaks (ARGS=--soak-seconds=300)
	@$(RUN) pytest -m soak --numprocesses=0 --no-cov tests/e2e/test_soak.py $(ARGS)

bench: $(ALL) ## Measure joins, ingest, reads, drift, start-up and serving
	@$(RUN) python -m tests.bench

bench-plot: $(ALL) ## Measure serving beside others; draws docs/images/serving.png
	@$(RUN) python -m tests.bench serving --plot docs/images/serving.png

bench-training: $(STAMP) ## Measure the training of networks (ARGS="training models")
	@$(UV) sync --frozen --quiet --inexact --extra torch --group bench
	@$(RUN) python -m tests.bench $(or $(ARGS),training streaming)

bench-gpu: $(STAMP) ## The same on a GPU; says so where there is none
	@$(UV) sync --frozen --quiet --inexact --extra torch --group bench
	@$(RUN) python -c 'import torch; raise SystemExit(None if torch.cuda.is_available() else "There is no GPU here, so nothing was measured; make bench-training measures on the CPU.")'
	@$(RUN) python -m tests.bench training streaming

##@ Infrastructure

local-up: $(ALL) ## Make the local environment: a cluster and an emulator of AWS
	@$(RUN) python -m infra.tools.local up $(ARGS)

local-down: $(ALL) ## Tear the local environment down, and check that it is gone
	@$(RUN) python -m infra.tools.local down $(ARGS)

infra-preview: ## Show what infra-up would change: ENV=dev, REPORT=FILE
	@$(RUN) python -m infra.tools.stack preview "$$ENV" --report "$${REPORT:-/dev/null}"

infra-up: ## Bring a stack up: ENV=dev, IMAGE=sha256:… or release
	@$(RUN) python -m infra.tools.stack up "$$ENV" --image "$$IMAGE"

infra-drift: ## Fail where a stack differs from program or AWS: ENV=dev
	@$(RUN) python -m infra.tools.stack drift "$$ENV" --report "$${REPORT:-/dev/null}"

infra-destroy: ## Tear a stack down, never production, and prove it: ENV=dev
	@$(RUN) python -m infra.tools.stack destroy "$$ENV"
	@$(RUN) python -m infra.tools.leftovers "$$ENV" --delete

infra-docs: $(STAMP) ## Write diagrams and the cost table into the docs
	@$(RUN) python -m infra.tools.docs

image: $(STAMP) ## Build the images with Docker (BUILD, BASE, EXTRAS, TAG)
	@command -v $(firstword $(BUILD)) >/dev/null || { echo "There is no $(firstword $(BUILD)) here: install Docker, or name what builds images by BUILD='podman build --tag'"; exit 1; }
	@export SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct); \
	for target in serve steps sagemaker; do \
		$(BUILD) $(PROJECT)-$$target:$(TAG) . --target $$target $(if $(BASE),--build-arg BASE=$(BASE)) --build-arg EXTRAS="$(EXTRAS)" \
			--build-arg NAME=$(PROJECT)-$$target --build-arg VERSION=$(TAG) --build-arg REVISION=$$(git rev-parse HEAD) \
			--build-arg SOURCE=$$(git remote get-url origin 2>/dev/null) --build-arg CREATED=$$(date -u -d @$$SOURCE_DATE_EPOCH +%FT%TZ) || exit 1; \
	done
	@$(MAKE) --no-print-directory sbom

image-push: ## Push the image of this commit to the registry of ENV
	@$(RUN) python -m infra.tools.images push "$$ENV"

include .github/workflows.mk # what workflows call and people seldom do

# Compiling the packages belongs to installing them: without it the first demo would pay for it.
$(STAMP): pyproject.toml uv.lock | $(UV)
	@UV_COMPILE_BYTECODE=1 $(UV) sync --frozen --inexact --quiet
	@touch $@

# What the other profiles need, which the demo does not.
$(ALL): $(STAMP)
	@UV_COMPILE_BYTECODE=1 $(UV) sync --frozen --extra aws --extra github --extra kubernetes --extra render --quiet
	@touch $@

$(TOOLS)/act: PROGRAM := $(ACT)
$(TOOLS)/actionlint: PROGRAM := $(ACTIONLINT)
$(TOOLS)/gitleaks: PROGRAM := $(GITLEAKS)
$(TOOLS)/act $(TOOLS)/actionlint $(TOOLS)/gitleaks:
	@echo "Building $(@F) with Go into .tools"
	@GOBIN=$(TOOLS) GOFLAGS=-mod=mod go install $(PROGRAM)

.uv/bin/uv:
	@echo "Installing uv into .uv"
	@python3 -m venv .uv
	@.uv/bin/pip install --quiet --disable-pip-version-check uv==0.13.8

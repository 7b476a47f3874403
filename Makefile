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

# What builds an image as TAG from a folder, and the images' names.
BUILD = docker build --tag
PROJECT = $(shell $(RUN) python -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["name"])')
TAG = local

.PHONY: help sync demo doctor changes required-checks release-check release check-workflows audit training-smoke test-docs pulumi-version infra-up infra-preview infra-drift infra-destroy infra-expired infra-drift-issue preview-comment sbom image-smoke features-deploy image-push image-sign image-verify test test-slow test-infra test-roles infra-docs test-cloud test-workflows test-athena test-torch test-all-pythons check format fuzz soak bench bench-plot bench-training bench-gpu lock clean local-up local-down test-cluster image

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[36m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

sync: | $(UV) ## Install the locked packages, as the workflows do (EXTRAS="aws render")
	@UV_COMPILE_BYTECODE=1 $(UV) sync --frozen --quiet $(addprefix --extra ,$(EXTRAS))
	@touch $(STAMP) $(if $(filter 4,$(words $(filter aws github kubernetes render,$(EXTRAS)))),$(ALL))

demo: $(STAMP) ## Watch the whole loop on real data, in about a minute (ARGS=--fast for a shorter replay)
	@$(RUN) mlops demo $(ARGS)

doctor: $(STAMP) ## Say what is left to do in this repository, and what is wrong
	@$(RUN) mlops doctor $(ARGS)

test: $(ALL) ## Run the tests, in parallel, with coverage
	@$(RUN) pytest $(ARGS)

test-slow: $(ALL) ## Run the tests that take minutes each, before a release: whole projects, kills at every point
	@$(RUN) pytest -m 'slow and not bake' --no-cov $(ARGS)

test-roles: $(ALL) ## Ask a simulator of IAM, fetched by npm, what each role on AWS may do (half a minute)
	@$(RUN) pytest -m roles --numprocesses=0 --no-cov tests/infra $(ARGS)

test-infra: $(ALL) ## Run the tests of the environments, without AWS and without a cluster (minutes)
	@$(RUN) pytest -m infra -rs --no-cov tests/infra $(ARGS)

infra-docs: $(STAMP) ## Write the diagrams and the cost table in the docs from what the programs register
	@$(RUN) python -m infra.tools.docs

local-up: $(ALL) ## Make the local environment: a Kubernetes cluster and an emulator of AWS (ARGS="--set context=kind-kind")
	@$(RUN) python -m infra.tools.local up $(ARGS)

local-down: $(ALL) ## Remove the local environment, and look that nothing is left of it
	@$(RUN) python -m infra.tools.local down $(ARGS)

test-cloud: $(ALL) ## Run what needs an emulator of AWS for minutes: faults, runs on SageMaker, the whole loop
	@$(RUN) pytest -m cloud --no-cov $(ARGS)

test-workflows: $(ALL) ## Execute the workflows by act, which Go installs (minutes; ARGS=-s tells the times of the whole path)
	@if command -v go >/dev/null; then $(MAKE) --no-print-directory $(TOOLS)/act $(TOOLS)/gitleaks; \
	else echo "Go is not here: what needs act or gitleaks, and finds none, is skipped"; fi
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

check-workflows: $(ALL) $(TOOLS)/actionlint $(TOOLS)/gitleaks ## Check the workflows: actionlint, zizmor, schemas, shellcheck, permissions
	@PATH="$(TOOLS):$$PATH" $(RUN) pytest --numprocesses=0 --no-cov tests/workflows/test_static.py tests/workflows/test_linters.py $(ARGS)

test-docs: $(STAMP) ## Check that the docs name only what exists (seconds)
	@$(RUN) pytest --numprocesses=0 --no-cov tests/docs $(ARGS)

training-smoke: $(STAMP) ## Train, judge by the gates, release and watch on a short replay (a minute)
	@$(RUN) mlops demo --fast $(ARGS)

audit: $(STAMP) $(TOOLS)/gitleaks ## Look for known weaknesses of packages and workflows, and for secrets in every commit
	@$(UV) audit --frozen --preview-features audit-command
	@$(RUN) zizmor --offline --quiet .github
	@$(TOOLS)/gitleaks git --no-banner --redact --exit-code 1 .

changes: ## Say which parts of the repository differ from BASE, for ci.yml
	@python3 .github/changes.py "$${BASE:-origin/main}"

required-checks: ## Say whether the jobs in NEEDS, as a workflow's JSON, passed or were skipped
	@python3 .github/required.py

release-check: ## Check that the tag RELEASE is the version, on main, with notes in CHANGELOG.md, and print them
	@python3 .github/release.py check "$$RELEASE"

release: ## Publish the tag RELEASE on GitHub with its notes, for release.yml
	@python3 .github/release.py publish "$$RELEASE"

image: $(STAMP) ## Build the images for serving and for steps, with Docker, and write what is in them (BUILD, BASE, EXTRAS, TAG)
	@command -v $(firstword $(BUILD)) >/dev/null || { echo "There is no $(firstword $(BUILD)) here: install Docker, or name what builds images by BUILD='podman build --tag'"; exit 1; }
	@export SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct); \
	for target in serve steps; do \
		$(BUILD) $(PROJECT)-$$target:$(TAG) . --target $$target $(if $(BASE),--build-arg BASE=$(BASE)) --build-arg EXTRAS="$(EXTRAS)" \
			--build-arg NAME=$(PROJECT)-$$target --build-arg VERSION=$(TAG) --build-arg REVISION=$$(git rev-parse HEAD) \
			--build-arg SOURCE=$$(git remote get-url origin 2>/dev/null) --build-arg CREATED=$$(date -u -d @$$SOURCE_DATE_EPOCH +%FT%TZ) || exit 1; \
	done
	@$(MAKE) --no-print-directory sbom

image-smoke: ## Start the images as they are run: the app answers, the steps know their commands
	@.github/image_smoke.sh $(PROJECT) $(TAG)

sbom: | $(UV) ## Write what is in the images as CycloneDX, from the lock file: build/serve.cdx.json, build/steps.cdx.json
	@mkdir -p build
	@$(UV) export --quiet --frozen --preview-features sbom-export --format cyclonedx1.5 --only-group serve --output-file build/serve.cdx.json
	@$(UV) export --quiet --frozen --preview-features sbom-export --format cyclonedx1.5 --no-default-groups --group image --group model --extra aws --extra kubernetes --output-file build/steps.cdx.json

test-cluster: $(ALL) ## Run the tests on a Kubernetes cluster, for minutes: KUBECONFIG, CLUSTER_BUILD and CLUSTER_HOST name it
	@$(RUN) pytest -m cluster -rs --numprocesses=0 --no-cov tests/cluster $(ARGS)

fuzz: $(ALL) ## Send the serving app many thousand requests made from its contract
	@$(RUN) pytest -m fuzz --numprocesses=0 --no-cov tests/e2e/test_fuzz.py $(ARGS)

soak: $(ALL) ## Load the serving app for minutes and look for leaks (ARGS=--soak-seconds=300)
	@$(RUN) pytest -m soak --numprocesses=0 --no-cov tests/e2e/test_soak.py $(ARGS)

bench: $(ALL) ## Measure: join, ingest, online reads, drift, pipeline overhead, CLI start-up, rollback, serving
	@$(RUN) python -m tests.bench

bench-plot: $(ALL) ## Measure the serving app against others and draw docs/images/serving.png
	@$(RUN) python -m tests.bench serving --plot docs/images/serving.png

bench-training: $(STAMP) ## Install torch and others, and measure the training of networks (ARGS="training streaming models sweep")
	@$(UV) sync --frozen --quiet --inexact --extra torch --group bench
	@$(RUN) python -m tests.bench $(or $(ARGS),training streaming)

bench-gpu: $(STAMP) ## The same where there is a GPU; says so where there is none
	@$(UV) sync --frozen --quiet --inexact --extra torch --group bench
	@$(RUN) python -c 'import torch; raise SystemExit(None if torch.cuda.is_available() else "There is no GPU here, so nothing was measured; make bench-training measures on the CPU.")'
	@$(RUN) python -m tests.bench training streaming

pulumi-version: ## Say which Pulumi the locked SDK is of, for the workflows to install
	@$(RUN) python -c 'from importlib.metadata import version; print("version=" + version("pulumi"))'

infra-up: ## Bring a stack to the program: ENV=dev, IMAGE=sha256:… or IMAGE=release for what the release file pins
	@$(RUN) python -m infra.tools.stack up "$$ENV" --image "$$IMAGE"

infra-preview: ## Show what infra-up would change; REPORT=FILE writes it for a comment
	@$(RUN) python -m infra.tools.stack preview "$$ENV" --report "$${REPORT:-/dev/null}"

infra-drift: ## Fail where a stack differs from the program or from what is there; REPORT=FILE says how
	@$(RUN) python -m infra.tools.stack drift "$$ENV" --report "$${REPORT:-/dev/null}"

infra-destroy: ## Take a stack down, never production, and prove that nothing is left: ENV=dev
	@$(RUN) python -m infra.tools.stack destroy "$$ENV"
	@$(RUN) python -m infra.tools.leftovers "$$ENV" --delete

infra-drift-issue: ## infra-drift, and an issue that says how; closed again when nothing differs (fails with drift)
	@if $(RUN) python -m infra.tools.stack drift "$$ENV" --report drift.md; then close=--close; fi; \
	$(RUN) mlops github issue --subject "drift-$$ENV" --title "$$ENV differs from main" --body drift.md --label drift $$close; \
	test -n "$$close"

infra-expired: ## List the environments to take down: CHOSEN, when AGAIN is the same, or those whose day has come
	@listed=$$($(RUN) python -m infra.tools.stack expired "$$CHOSEN" --again "$$AGAIN") && echo "environments=$$listed"

preview-comment: ## Put previews/*.md into one comment of the pull request PULL, or update it
	@cat previews/*.md > preview.md
	@$(RUN) mlops github comment --pull "$$PULL" --subject preview --body preview.md

features-deploy: ## Start the feature pipeline on AWS for the views as committed, from the day SINCE; once a change
	@changed="git log -1 --date=format-local:%Y-%m-%d -- model pipelines/feature"; \
	TZ=UTC $(RUN) mlops run feature --on aws --run-id "features-$$($$changed --format=%h)" \
		--set start="$$SINCE" --set end="$$($$changed --format=%cd)"

image-push: ## Push the image of this commit to the registry of ENV, unless it is there, and say its digest
	@$(RUN) python -m infra.tools.images push "$$ENV"

image-sign: sbom ## Sign the image DIGEST with the key of ENV in KMS, and attest what it is made of
	@$(RUN) python -m infra.tools.images sign "$$ENV" --digest "$$DIGEST"

image-verify: ## Verify the signature of the image DIGEST, and the attestation
	@$(RUN) python -m infra.tools.images verify "$$ENV" --digest "$$DIGEST"

lock: | $(UV) ## Update the locked dependencies
	@$(UV) lock --upgrade

clean: ## Remove what can be made again: environments, caches, the demo's data
	rm -rf .venv .venv-3.* .uv .tools .ratchet .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage report.html
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

-include tests/template/targets.mk # only the template has it

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
	@.uv/bin/pip install --quiet --disable-pip-version-check uv

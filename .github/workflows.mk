# What the workflows call; each target runs on any machine too. The Makefile includes this file.

.PHONY: sync changes required-checks training-smoke test-bake release-check release pulumi-version infra-drift-issue infra-expired clock preview-comment features-deploy sbom image-smoke image-sign image-verify

sync: | $(UV) ## Install the locked packages, as the workflows do (EXTRAS="aws render", GROUPS_ONLY=infra)
	@UV_COMPILE_BYTECODE=1 $(UV) sync --frozen --quiet $(addprefix --extra ,$(EXTRAS)) \
		$(if $(GROUPS_ONLY),--no-default-groups $(addprefix --group ,$(filter-out none,$(GROUPS_ONLY))))
	@touch $(STAMP) $(if $(filter 4,$(words $(filter aws github kubernetes render,$(EXTRAS)))),$(ALL))

changes: ## Say which parts of the repository differ from BASE, for ci.yml
	@python3 .github/changes.py "$${BASE:-origin/main}"

required-checks: ## Say whether the jobs in NEEDS, as a workflow's JSON, passed or were skipped
	@python3 .github/required.py

training-smoke: $(STAMP) ## Train, judge by the gates, release and watch on a short replay (a minute)
	@$(RUN) mlops demo --fast $(ARGS)

test-bake: $(ALL) ## Make a project from the template, and run in it what its CI runs (BAKE=defaults, other or foreign)
	@$(RUN) pytest -m bake --numprocesses=0 --no-cov -s tests/template -k "$(BAKE)" $(ARGS)

release-check: ## Check that the tag RELEASE is the version, on main, with notes in CHANGELOG.md, and print them
	@python3 .github/release.py check "$$RELEASE"

release: ## Publish the tag RELEASE on GitHub with its notes, for release.yml
	@python3 .github/release.py publish "$$RELEASE"

pulumi-version: ## Say which Pulumi the locked SDK is of, for the workflows to install
	@$(RUN) python -c 'from importlib.metadata import version; print("version=" + version("pulumi"))'

infra-drift-issue: ## infra-drift, and an issue that says how; closed again when nothing differs (fails with drift)
	@if $(RUN) python -m infra.tools.stack drift "$$ENV" --report drift.md; then close=--close; fi; \
	$(RUN) mlops github issue --subject "drift-$$ENV" --title "$$ENV differs from main" --body drift.md --label drift $$close; \
	test -n "$$close"

infra-expired: ## List the environments to take down: CHOSEN, when AGAIN is the same, or those whose day has come
	@listed=$$($(RUN) python -m infra.tools.stack expired "$$CHOSEN" --again "$$AGAIN") && echo "environments=$$listed"

clock: ## Do the DUTY of a schedule (follow, publish, drift) in each of ENVIRONMENTS, as JSON
	@$(RUN) python .github/clock.py "$$DUTY"

preview-comment: ## Put previews/*.md into one comment of the pull request PULL, or update it
	@cat previews/*.md > preview.md
	@$(RUN) mlops github comment --pull "$$PULL" --subject preview --body preview.md

features-deploy: ## Start the feature pipeline on AWS for the views as committed, from the day SINCE; once a change
	@changed="git log -1 --date=format-local:%Y-%m-%d -- model pipelines/feature"; \
	TZ=UTC $(RUN) mlops run feature --on aws --run-id "features-$$($$changed --format=%h)" \
		--set start="$$SINCE" --set end="$$($$changed --format=%cd)"

sbom: | $(UV) ## Write what is in the images as CycloneDX, from the lock file: build/serve.cdx.json, build/steps.cdx.json
	@mkdir -p build
	@$(UV) export --quiet --frozen --preview-features sbom-export --format cyclonedx1.5 --only-group serve --only-group features --output-file build/serve.cdx.json
	@$(UV) export --quiet --frozen --preview-features sbom-export --format cyclonedx1.5 --no-default-groups --group image --group model --extra aws --extra kubernetes --output-file build/steps.cdx.json

image-smoke: ## Start the images as they are run: the app answers, the steps know their commands
	@.github/image_smoke.sh $(PROJECT) $(TAG)

image-sign: sbom ## Sign the image DIGEST with the key of ENV in KMS, and attest what it is made of
	@$(RUN) python -m infra.tools.images sign "$$ENV" --digest "$$DIGEST"

image-verify: ## Verify the signature of the image DIGEST, and the attestation
	@$(RUN) python -m infra.tools.images verify "$$ENV" --digest "$$DIGEST"

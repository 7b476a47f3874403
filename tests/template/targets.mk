##@ The template

.PHONY: test-bake
test-bake: $(STAMP) ## Make a project, and run its checks, tests and demo (minutes)
	@$(RUN) pytest -m bake --numprocesses=0 --no-cov -s tests/template $(ARGS)

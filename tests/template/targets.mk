##@ The template

.PHONY: test-bake
test-bake: $(STAMP) ## Make a project from the template and run its checks, its tests and its demo (minutes)
	@$(RUN) pytest -m bake --numprocesses=0 --no-cov -s tests/template $(ARGS)

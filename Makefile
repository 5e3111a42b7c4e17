# Everything here runs without a terminal and twice in a row. `make` alone says what there is.
.DEFAULT_GOAL := help
.PHONY: help setup bootstrap demo test check format bench lock clean
bin := .venv/bin
# Many tests wait for programs they have started, so one more worker than processors keeps those busy.
workers := $(shell n=$$(nproc 2>/dev/null || echo 2); [ "$$n" -lt 8 ] && echo $$((n + 1)) || echo 8)

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

setup: ## make .venv/bin/seatrial from the locked versions (PYTHON=… chooses the interpreter)
	@scripts/setup.sh

bootstrap: ## install the system programs that `seatrial ship` runs (asks, unless root or CI)
	@scripts/bootstrap.sh

demo: ## ship the example (check, fix, assemble, test, push, serve, verify), then deploy a canary under load
	@scripts/demo.sh

test: setup ## run every test that this machine allows; what was skipped is said with its reason
	@$(bin)/python -m pytest -q -n $(workers) --dist worksteal $(ARGS)

check: setup ## lint, types, import contracts, shell scripts: under a minute
	@scripts/check.sh

format: setup ## lay out the code
	@$(bin)/ruff format . && $(bin)/ruff check --fix-only --quiet .

bench: setup ## measure against the budgets
	@scripts/bench.sh $(ARGS)

lock: setup ## choose versions anew and write requirements/dev.lock (UPGRADE=1 takes the newest)
	@$(bin)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-annotate --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) --group dev pyproject.toml \
	  --output-file requirements/dev.lock

clean: ## remove what can be made again, .venv included
	rm -rf .venv .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist test-reports
	find src tests bench scripts examples -name __pycache__ -type d -prune -exec rm -rf {} +

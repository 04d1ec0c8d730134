# Everything that a person or CI does with this repository. `make` alone lists it.

PY := .venv/bin/python
# One more than there are cores: many tests wait for a process of their own.
WORKERS := $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((n + 1)))
ARGS :=

.DEFAULT_GOAL := help
.PHONY: help quickstart test engines check lint types contracts golden bench soak docs lock clean venv venv-dev

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "PYTHON=/path/to/python chooses the interpreter of .venv; ARGS='...' goes to pytest or the bench."

quickstart: venv ## Set everything up, then preview, deploy and run the example
	@tools/quickstart.sh

test: venv-dev ## Run the tests (ARGS='-k word' for some of them)
	$(PY) -m pytest -n $(WORKERS) --dist worksteal -rs $(ARGS)

engines: venv ## Build the real engines that some tests need (minutes, once, cached outside the tree)
	$(PY) tools/engines.py build

check: lint types contracts ## Lint, format, types, import contracts, changelog, docs (`make -k check` shows all findings)

lint: venv-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: venv-dev
	$(PY) -m mypy
	tools/pyright.sh

contracts: venv-dev
	.venv/bin/lint-imports
	$(PY) -m towncrier build --draft --version next >/dev/null
	$(PY) tools/docs.py --check

golden: venv-dev ## Rewrite the golden files from what the code does now; read the diff before you commit it
	FLOWINFRA_ACCEPT=1 $(PY) -m pytest -n $(WORKERS) --dist worksteal -q tests/golden $(ARGS)

bench: venv-dev ## Measure the figures of bench/README.md beside their peers (ARGS='--write' keeps them)
	$(PY) bench/run.py $(ARGS)

soak: venv-dev ## The long tests
	FLOWINFRA_SOAK=1 $(PY) -m pytest -rs -m soak $(ARGS)

docs: venv-dev ## Write the generated pages of docs/ and check every link
	$(PY) tools/docs.py

lock: ## Renew the lock files out of pyproject.toml and requirements/*.in
	@tools/lock.sh $(ARGS)

clean: ## Remove what the tools made; the example's state in .flowinfra/ stays
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

venv:
	@tools/venv.sh runtime

venv-dev:
	@tools/venv.sh dev

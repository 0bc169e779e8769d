# `make run` and `make test` need nothing before them but Python 3.11 or 3.12, git and make.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV := $(VENV)/.dev

export UV_COMPILE_BYTECODE := 1
export VIRTUAL_ENV := $(abspath $(VENV))

help:  ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(READY): requirements.lock infra/build.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else f"error: Python 3.11 or 3.12 is needed\n  found: {v[0]}.{v[1]}\n  fix:   make PYTHON=python3.11 …")'
	@echo "setting up $(VENV) (once; about a minute with a warm cache) …"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)  # none, or half of one
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r infra/build.lock
	@$(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# What tests and checks beside it: no version depends on these, and the production image has none of them.
$(DEV): requirements-dev.lock | $(READY)
	@$(BIN)/uv pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

setup: $(READY) $(DEV)  ## make the environment, tools included (the other commands make what they need)

run: $(READY)  ## fetch, prepare, train, evaluate, register, promote
	@$(BIN)/mtl retrain

baselines: $(READY)  ## one model per task with the same budget, and the table of gains and losses
	@$(BIN)/mtl baselines

serve: $(READY)  ## keep the schedule of params.yaml
	@$(BIN)/mtl serve

ui: $(READY)  ## the Prefect and MLflow pages
	@$(BIN)/mtl ui

status: $(READY)  ## the champion and the last run
	@$(BIN)/mtl status

TESTERS ?= 2
BESIDE := --numprocesses $(TESTERS) --dist loadgroup --no-loadscope-reorder
test: $(READY) $(DEV)  ## all tests but the slow ones, the end-to-end ones included
	@$(BIN)/python -m pytest $(BESIDE) -m "not slow and not long and not stack"

test-all: $(READY) $(DEV)  ## the slow tests, which make test leaves out
	@$(BIN)/python -m pytest $(BESIDE) -m slow

stack-test: $(READY) $(DEV)  ## real servers with passwords: a schedule from nothing to a champion, and refusals
	@$(BIN)/python -m pytest -m stack

test-long: $(READY) $(DEV)  ## those that CI has no time for either
	@$(BIN)/python -m pytest -m long

faults: $(READY) $(DEV)  ## kill everything once, at every moment that matters; the table is reports/faults.json
	@$(BIN)/python -m tests.faults.run

MINUTES ?= 10
soak: $(READY) $(DEV)  ## a schedule under random kills for MINUTES
	@$(BIN)/python -m tests.faults.soak --minutes $(MINUTES)

attacks: $(READY) $(DEV)  ## every attack that is known, tried; the table is reports/attacks.json
	@$(BIN)/python -m pytest tests/attacks -m attack --table reports/attacks.json

daily: $(READY) $(DEV)  ## every situation of daily life that is known, with the real tools; the table is reports/daily.json
	@$(BIN)/python -m pytest tests/daily -m daily --table reports/daily.json

NAMES ?=
bench: $(READY) $(DEV)  ## all benchmarks that can run here, or NAMES="step gpu"; ratios in benchmarks/results
	@$(BIN)/python -m benchmarks $(NAMES)

guard: $(READY) $(DEV)  ## a minute of quick ratios beside the kept ones: says what became slower, fails nothing
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.guard

lint: $(READY) $(DEV)  ## ruff, pyright, import contracts
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/pyright -p tools/pyright.json
	@$(BIN)/lint-imports

$(VENV)/checks/.ready: infra/checks.lock | $(READY)
	@$(BIN)/uv venv --quiet --clear $(VENV)/checks
	@VIRTUAL_ENV=$(abspath $(VENV)/checks) $(BIN)/uv pip install --quiet --require-hashes -r infra/checks.lock
	@touch $@

infra-check: $(READY) $(DEV) $(VENV)/checks/.ready  ## Compose by its own parser, image and chart by hadolint and checkov, scripts by shellcheck, YAML
	@env $$(sed -n 's/=$$/=checked/p' infra/compose/env.example) $(BIN)/docker-compose --file infra/compose/compose.yaml config --quiet
	@$(BIN)/yamllint --strict -d "{extends: relaxed, rules: {line-length: disable}, ignore: [infra/kubernetes/templates]}" infra .github params.yaml dvc.yaml
	@$(BIN)/hadolint --failure-threshold warning infra/docker/Dockerfile
	@$(BIN)/shellcheck .ci/run
	@rm -rf .venv/chart && $(BIN)/python -m tools.chart .venv/chart
	@$(VENV)/checks/bin/checkov --config-file infra/checkov.yaml --directory .venv/chart --framework kubernetes
	@$(VENV)/checks/bin/checkov --config-file infra/checkov.yaml --directory infra/docker --framework dockerfile

$(VENV)/audit/.ready: infra/audit.lock | $(READY)
	@$(BIN)/uv venv --quiet --clear $(VENV)/audit
	@VIRTUAL_ENV=$(abspath $(VENV)/audit) $(BIN)/uv pip install --quiet --require-hashes -r infra/audit.lock
	@touch $@

sbom: $(READY)  ## what the pipeline is made of, as CycloneDX: reports/sbom.json
	@$(BIN)/python -m tools.sbom reports/sbom.json

audit: $(READY) $(VENV)/audit/.ready  ## known vulnerabilities of what is pinned, by pip-audit; skipped, and said, where PyPI is out of reach
	@if $(BIN)/python -m tools.sbom --reach; then for lock in requirements.lock requirements-dev.lock; do $(VENV)/audit/bin/pip-audit --progress-spinner off --disable-pip --require-hashes -r $$lock || exit; done; \
	else echo "pip-audit was skipped: what PyPI knows of vulnerabilities is out of reach here"; fi

coverage: $(READY) $(DEV)  ## the tests, with coverage
	@$(BIN)/python -m pytest --cov --cov-report=term

docs: $(READY) $(DEV)  ## what docs/ has of code and settings, and the site in site/: a link that leads nowhere is an error
	@$(BIN)/python -m tools.references
	@$(BIN)/python -m tools.site

deps: $(READY)  ## the stages' code dependencies in dvc.yaml, from their imports
	@$(BIN)/python -m tools.closure

lock: $(READY)  ## resolve requirements.lock and requirements-dev.lock again from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 --constraint requirements.lock --group dev -o requirements-dev.lock
	@for name in checks audit; do $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 infra/$$name.in -o infra/$$name.lock; done
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 --constraint requirements.lock infra/build.in -o infra/build.lock

release: $(READY)  ## the wheel, its notes from CHANGELOG.md and what it is made of, for TAG (.github/workflows/release.yaml)
	@rm -rf dist && mkdir dist && $(BIN)/python -m tools.release "$(TAG)" dist/notes.md
	@$(BIN)/uv build --quiet --wheel --no-build-isolation --out-dir dist
	@$(MAKE) --no-print-directory sbom

clean-venv:  ## remove the environment
	@rm -rf $(VENV)

.PHONY: help setup run test test-all stack-test test-long faults soak attacks lint coverage lock clean-venv docs deps infra-check baselines ui serve status sbom audit attacks daily release bench guard

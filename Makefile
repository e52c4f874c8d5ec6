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
.PHONY: help setup demo test lint types docs bench validate docs-figures clean

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

demo: $(STAMP)  ## Train a lap robot from scratch, cut its network, film it, write the report
	$(BIN)/rl-ablation demo

test: $(STAMP)  ## Run every test
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(STAMP)  ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## Check types
	$(BIN)/mypy

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

validate: $(STAMP)  ## Score the lab on robots whose wiring is known (about 20 million control steps)
	$(BIN)/python -m experiments.validation $(if $(SCHEDULER),--scheduler $(SCHEDULER))

docs-figures: $(STAMP)  ## Run all studies in full and make the README's pictures from them (about an hour)
	$(BIN)/rl-ablation study all --docs
	-$(BIN)/python -m experiments.validation --docs  # exits with 1 where an aim is missed

clean:  ## Remove caches and build products (runs and .venv stay)
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

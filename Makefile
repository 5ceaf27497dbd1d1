# Every target sets up .venv by itself when pyproject.toml or constraints.txt changed, and may be repeated.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
STUDIO_STAMP := $(VENV)/.installed-studio
BROWSER_STAMP := $(VENV)/.installed-browser
OTHER_FRONTEND := 1.58.1

.DEFAULT_GOAL := help
.PHONY: help demo studio browser test check nano bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## make films with sound of a few prompts with the shipped models, into out/
	@echo "demo: making films and their sound with the shipped nano models"
	@$(BIN)/python scripts/demo.py

studio: $(STUDIO_STAMP) ## open the graph editor in a browser, with the shipped models
	@$(BIN)/moviegen studio

browser: $(BROWSER_STAMP) ## try the studio in a real browser (needs Chromium, or root to install it on Debian)
	@echo "browser: trying the studio in Chromium, with the installed frontend"
	@$(BIN)/pytest -m 'browser and not comfy' tests/browser
	@echo "browser: the same with frontend $(OTHER_FRONTEND)"
	@PYTHONPATH=$(VENV)/other-frontend $(BIN)/pytest -m 'browser and not comfy' tests/browser

test: $(STAMP) ## run the tests (no network, no GPU)
	@echo "test: running pytest, a process a core"
	@OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 4

check: $(STAMP) ## lint, format check, types, import ladder
	@echo "check: ruff, mypy and the import ladder"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pytest -q tests/core/test_ladder.py

nano: $(STAMP) ## train every shipped weight again from nothing (hours); resumes after a stop
	@echo "nano: training the shipped models; stop with Ctrl-C, repeat to resume"
	@$(BIN)/moviegen train nano

bench: $(BENCH_STAMP) ## measure speed and memory beside diffusers' blocks
	@echo "bench: measuring; keep the machine quiet"
	@for file in benchmarks/*.py; do echo "bench: $$file"; $(BIN)/python $$file || exit 1; done

clean: ## remove what make, tests and builds left (keeps .venv and runs/)
	@rm -rf out build dist .mypy_cache .pytest_cache .ruff_cache *.egg-info
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
	@echo "clean: removed caches, build folders and out/"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
		echo "make: Python 3.10 or newer is needed, '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo missing);" \
			"name one with: make PYTHON=python3.11" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		echo "setup: creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "setup: installing the project and its tools into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(BENCH_STAMP): $(STAMP)
	@echo "setup: installing what the benchmarks compare with"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@

$(STUDIO_STAMP): $(STAMP)
	@echo "setup: installing the graph editor"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[studio]'
	@touch $@

$(BROWSER_STAMP): $(STUDIO_STAMP)
	@echo "setup: installing playwright, and Chromium where it is missing"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(VENV)/other-frontend \
		comfyui-frontend-package==$(OTHER_FRONTEND)
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >/dev/null || { \
		echo "make: Chromium is needed for the browser tests; on Debian: sudo apt-get install chromium" >&2; exit 1; }
	@touch $@

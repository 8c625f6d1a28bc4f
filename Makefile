# Every task of the project; bare `make` lists them. Needs Python 3.11-3.13 with venv and pip, or uv.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help reproduce test train report html lab bench data lock sync clean FORCE

NETWORK ?= lenet
SCALE ?= paper
BUDGET ?=
DEVICE ?=
ARGS ?=

PY := .venv/bin/python
LTH := $(PY) -m lth_utils
COG := $(PY) -m cogapp --verbosity=0

# Nothing from outside .venv may take the place of what is locked: no foreign modules, no user-wide kernel.
unexport PYTHONPATH PYTHONHOME JUPYTER_PATH
export JUPYTER_PREFER_ENV_PATH := 1

help: ## print this list
	@echo 'The Lottery Ticket Hypothesis, reproduced. Each target sets up what it needs in .venv first.'
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  NETWORK=lenet|conv2|conv4|conv6   SCALE=paper|reduced|short   BUDGET=25m   DEVICE=cuda   for `make train`'
	@echo '  PYTHON=python3.12   which Python   UV=   pip although uv is here   ARGS=...   more options for a task'
	@echo
	@echo 'Without opening a notebook: $(LTH) --help'
	@echo '  plan | claims | verify | run 03   what is missing, decided, sound; one notebook at a scale of your choice'

reproduce: .venv/.stamp ## get the data, run every notebook at laptop scale into build/ (minutes)
	@$(LTH) run --all --profile quick $(ARGS)

test: .venv/.stamp ## lint, unit tests, pair checks, and every committed notebook against its stored outputs
	@failed=0; report=; \
	step() { \
	  title=$$1; shift; printf '\n== %s\n' "$$title"; \
	  if "$$@"; then word=passed; else word=FAILED; failed=1; fi; report="$$report\n  $$word  $$title"; \
	}; \
	step 'lint (ruff check)' $(PY) -m ruff check -q .; \
	step 'layout of the code (ruff format --check)' $(PY) -m ruff format -q --check .; \
	step 'unit tests and pair checks (pytest tests)' $(PY) -m pytest tests; \
	step 'tables of README.md against the records (cog)' $(COG) --check README.md; \
	step 'notebooks against their stored outputs (nbval)' $(PY) -m pytest --nbval --nbval-current-env \
	  --nbval-sanitize-with tests/nbval_sanitize.cfg notebooks; \
	printf "\nmake test:$$report\n"; exit $$failed

train: .venv/.stamp ## make the run records that are missing; NETWORK= SCALE= BUDGET=25m DEVICE=cuda
	@$(LTH) train --network $(NETWORK) --scale $(SCALE) $(if $(BUDGET),--budget $(BUDGET)) \
	  $(if $(DEVICE),--device $(DEVICE)) $(ARGS)

report: .venv/.stamp ## adopt new records, then redo the notebooks, figures/ and the tables of README.md
	@$(LTH) report $(ARGS)
	@$(COG) -r README.md

html: .venv/.stamp ## the committed notebooks as web pages in build/html
	@$(PY) -c 'from lth_utils.notebooks import pages; print(pages.build())'

lab: .venv/.stamp ## open the notebooks in JupyterLab
	@$(PY) -m jupyterlab $(ARGS) notebooks

bench: .venv/.stamp ## how fast this machine trains, per network and density
	@$(PY) -c 'from lth_utils import ROOT, bench; measured = bench.run(); \
	  bench.save(measured, ROOT / "figures" / "bench.json"); print(bench.summary(measured))'
	@$(COG) -r README.md

data: .venv/.stamp ## fetch and check MNIST and CIFAR-10 into data/
	@$(LTH) data $(ARGS)

lock: ## write requirements.lock anew from pyproject.toml; ARGS=--upgrade moves to the newest versions
	@set -eu; uv=$$(command -v uv || echo build/uv/bin/uv); \
	[ -x "$$uv" ] || { python3 -m venv build/uv && build/uv/bin/python -m pip install -qq uv; }; \
	"$$uv" pip compile pyproject.toml --all-extras --universal -p 3.11 --fork-strategy fewest \
	  --no-header --no-annotate -q -o requirements.lock $(ARGS); \
	echo "requirements.lock: $$(wc -l < requirements.lock) packages"

sync: .venv/.stamp ## bring each notebook's .ipynb up to date with its .py (never the other way round)
	@$(PY) -m jupytext --quiet --to ipynb --update notebooks/*.py

clean: ## delete build/ and the tools' caches; data/, .venv/ and every record stay
	rm -rf build .pytest_cache .ruff_cache *.egg-info notebooks/.ipynb_checkpoints
	find lth_utils tests notebooks -name __pycache__ -prune -exec rm -rf {} +

# The stamp holds the folder that it was made in: a checkout that was moved or copied sets itself up anew.
STALE := $(shell [ "$$(cat .venv/.stamp 2>/dev/null)" = "$$(pwd)" ] && [ -x $(PY) ] || echo FORCE)

.venv/.stamp: requirements.lock pyproject.toml $(STALE)
	@.ci/setup

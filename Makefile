# make demo   set up .venv and run the main job on synthetic data
# make test   set up .venv and run the tests
# make check  lint, format and type checks
#
# TORCH chooses the torch build, and PIP_ARGS an index, for example:
#   make demo TORCH=torch PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cu128"

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
PIP_ARGS ?=
EXTRAS ?= archives,browser,fast,plot,test
DEMO ?= demo

BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check docs clean

demo: $(READY)
	$(BIN)/skeltools demo $(DEMO) --replace

test: $(READY)
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/typed
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation --target build/typed .
	cd build/typed && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p skeltools

docs: $(READY)
	$(BIN)/python docs/make_cli.py

# torch first, so that the requirement of skeltools finds it installed and fetches no other build.
$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check "$(TORCH)" setuptools $(PIP_ARGS)
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation -e ".[$(EXTRAS)]" $(PIP_ARGS)
	touch $(READY)

clean:
	rm -rf $(VENV) build dist $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis

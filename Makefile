# make help   print this
# make ready  set up .venv, which the others do too
# make demo   set up .venv and run the main job on synthetic data
# make test   set up .venv and run the tests, files side by side; T=tests/x/test_y.py for some, in one process
# make test-all   the same and the tests marked slow; make test-slow  those alone; make test-long  those marked long,
#             minutes each
# make faults kill, fill the disk, and so on, and print a table; KILLS=5 OTHERS=1 MINUTES=5 for less
# make format mend what ruff can, and format
# make check  lint, format and type checks
# make docs   write docs/cli.md anew from the help texts, and the documents as a site to build/site
# make fuzz   feed the readers mutated files: CASES and SECONDS bound each target, TARGETS chooses some
# make versions  chosen tests with the oldest and the newest versions of what skeltools needs; AGES=oldest for one
# make lock   remake requirements.lock with the newest releases
#
# TORCH chooses the torch build, and PIP_ARGS an index, for example:
#   make demo TORCH=torch PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cu128"
#
# The other packages come from requirements.lock, checked against its hashes (docs/dependencies.md). With another
# TORCH or other EXTRAS, pip chooses versions within the bounds of pyproject.toml; LOCK= asks for that too.

PYTHON ?= python3
VENV ?= .venv
LOCKED_TORCH := torch==2.13.0
LOCKED_EXTRAS := archives,browser,docs,plot,test
TORCH ?= $(LOCKED_TORCH)
PIP_ARGS ?=
EXTRAS ?= $(LOCKED_EXTRAS)
LOCK ?= $(if $(filter $(LOCKED_TORCH)/$(LOCKED_EXTRAS),$(TORCH)/$(EXTRAS)),requirements.lock)
DEMO ?= demo
KILLS ?= 50
OTHERS ?= 6
MINUTES ?= 30
CASES ?= 100000
SECONDS ?= 120
TARGETS ?=
T ?=
SIDE ?= $(if $(filter %.py,$(T)),,--numprocesses=auto --dist=loadfile)

BIN := $(VENV)/bin
# Programs that tests start read compiled code, also where the shell has Python write none.
PYTEST = env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check
# The package as it installs, cli/ and protocols/ inside it, for tools that read code.
TYPED = rm -rf build/typed && $(PIP) --no-deps --no-build-isolation --target build/typed .

.PHONY: help ready demo test test-all test-slow test-long format check fuzz docs lock clean faults versions

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

ready: $(READY)

demo: $(READY)
	$(BIN)/skeltools demo $(DEMO) --replace

test: $(READY)
	$(PYTEST) $(SIDE) -m "not slow and not long" $(T)

test-all: $(READY)
	$(PYTEST) $(SIDE) -m "not long" $(T)

test-slow: $(READY)
	$(PYTEST) $(SIDE) -m slow $(T)

test-long: $(READY)
	$(PYTEST) -m long $(T)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(TYPED)
	cd build/typed && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p skeltools

faults: $(READY)
	$(BIN)/python tests/faults --kills $(KILLS) --others $(OTHERS) --minutes $(MINUTES)

fuzz: $(READY)
	cd tests && PYTHONPATH=. ../$(BIN)/python -m fuzz.run $(TARGETS) --cases $(CASES) --seconds $(SECONDS) --failures ../fuzz-failures

versions:
	PYTHON="$(PYTHON)" PIP_ARGS="$(PIP_ARGS)" .ci/versions $(AGES)

docs: $(READY)
	$(BIN)/python docs/make_cli.py
	$(TYPED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lock:
	.ci/lock "$(LOCKED_TORCH)" "$(LOCKED_EXTRAS)"

# With the lock, torch comes second and finds all it needs but its own libraries there; without, it comes first,
# so that the requirement of skeltools finds it installed and fetches no other build.
$(READY): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
ifneq ($(LOCK),)
	$(PIP) --require-hashes --no-deps -r $(LOCK) $(PIP_ARGS)
	$(PIP) "$(TORCH)" $(PIP_ARGS)
	$(PIP) --no-deps --no-build-isolation -e .
else
	$(PIP) "$(TORCH)" setuptools $(PIP_ARGS)
	$(PIP) --no-build-isolation -e ".[$(EXTRAS)]" $(PIP_ARGS)
endif
	touch $(READY)

clean:
	rm -rf $(VENV) build dist $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis

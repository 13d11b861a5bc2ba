# Needs python3 and make; everything else goes into $(VENV).
#
#   make run                                  set up, then train the first example
#   make test                                 set up, then the whole test suite
#   make fuzz                                 damaged texts and Programs, until it is stopped
#   make frameworks                           the tests with other training stacks, in an environment of their own
#   make gpu                                  the tests that need a CUDA device, and those under its sanitizers
#   make VENV=path/to/env TORCH=skip test     use the torch that is in that environment

PY = python3
VENV = .venv
FRAMEWORKS = .venv-frameworks
# A requirement to install, or `skip` for the torch that $(VENV) has already.
TORCH = torch==2.13.0
PIP_ARGS =

PYTHON = $(VENV)/bin/python
PIP = $(PYTHON) -m pip
FORMATTED = csrc/*.h csrc/*.cpp csrc/*.cu tests/native/*.cpp
NATIVE = $(wildcard csrc/*)

# Stamps say what an environment holds, so they live in it.
STAMP = $(VENV)/.lrdsl
INSTALLED = $(STAMP)-installed

.DELETE_ON_ERROR:
.PHONY: build run test slow bench lint format wheel clean FORCE

build: $(INSTALLED)

$(PYTHON):
	$(PY) -m venv $(VENV)
	$(PIP) --version

# Holds the requirement that was installed: another TORCH installs another torch.
$(STAMP)-torch: FORCE | $(PYTHON)
	@[ '$(TORCH)' = "$$(cat $@ 2>/dev/null)" ] || \
	  { { [ '$(TORCH)' = skip ] || $(PIP) install $(PIP_ARGS) '$(TORCH)'; } && echo '$(TORCH)' > $@; }

# Editable: Python edits need no reinstall, native ones rebuild what they touch.
$(INSTALLED): setup.py pyproject.toml $(NATIVE) | $(STAMP)-torch
	$(PIP) install $(PIP_ARGS) -e '.[dev]'
	touch $@

run: $(INSTALLED)
	$(PYTHON) examples/first_run.py

# Timing tests run alone, after the others; pytest's exit status 5 says that there is none.
test: $(INSTALLED)
	$(PYTHON) -m pytest -n 2 -m 'not slow and not timing and not peers'
	$(PYTHON) -m pytest -m 'timing and not slow' || test $$? -eq 5

slow: $(INSTALLED)
	$(PYTHON) -m pytest -m slow

# Open-ended: stop it with Ctrl-C, the next run goes on from there. Finds go to tests/corpus.
.PHONY: fuzz
fuzz: $(STAMP)-fuzz
	$(PYTHON) -m tests.fuzz

$(STAMP)-fuzz: $(INSTALLED)
	$(PIP) install $(PIP_ARGS) -e '.[fuzz]'
	touch $@

bench: $(INSTALLED)
	$(PYTHON) -m benchmarks

# Other libraries' schedules, live, where they are installed: pip install -r requirements/peers.txt. `make test` replays
# what they gave when they were recorded (python -m tests.gallery.records).
.PHONY: peers
peers: $(INSTALLED)
	$(PYTHON) -m pytest -m peers tests/gallery

# Other training stacks, at the versions of requirements/frameworks.txt. README's table is made from the results.
.PHONY: frameworks
frameworks: $(FRAMEWORKS)/.lrdsl-installed
	$(FRAMEWORKS)/bin/python -m pytest -n 2 --dist loadfile -m '' --works docs/frameworks/results.json tests/frameworks; \
	  status=$$?; $(FRAMEWORKS)/bin/python -m tests.frameworks.table && exit $$status

# The native module lies in the tree, for both environments: it is built once.
$(FRAMEWORKS)/.lrdsl-installed: $(wildcard requirements/frameworks*.txt) setup.py pyproject.toml $(NATIVE)
	[ -x $(FRAMEWORKS)/bin/python ] || $(PY) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/python -m pip install $(PIP_ARGS) -r requirements/frameworks.txt
	$(FRAMEWORKS)/bin/python -m pip install $(PIP_ARGS) --no-deps -r requirements/frameworks-alone.txt
	LRDSL_EXT=keep $(FRAMEWORKS)/bin/python -m pip install $(PIP_ARGS) -e .
	touch $@

# The page of strategies and its pictures.
.PHONY: docs
docs: $(INSTALLED)
	$(PYTHON) -m gallery

.PHONY: bench-gpu
bench-gpu: $(INSTALLED)
	$(PYTHON) -m benchmarks.gpu

# With CUDA, wherever there is a toolkit. Without a device it says how many tests were not run.
.PHONY: gpu
gpu: export LRDSL_CUDA ?= $(if $(or $(CUDACXX),$(CUDA_HOME),$(shell command -v nvcc)),on,auto)
gpu: $(INSTALLED)
	@[ "$$LRDSL_CUDA" != on ] || $(PYTHON) -c 'import lrdsl._C_cuda' 2>/dev/null || \
	  { rm -f $(INSTALLED); $(MAKE) $(INSTALLED); }
	$(PYTHON) -m pytest -m gpu
	PYTHON=$(PYTHON) sh tools/sanitize.sh

lint: $(INSTALLED)
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	$(VENV)/bin/clang-format --dry-run -Werror $(FORMATTED)

format: $(INSTALLED)
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format
	$(VENV)/bin/clang-format -i $(FORMATTED)

wheel: $(INSTALLED)
	rm -rf build/lib* build/bdist*
	LRDSL_EXT=require LRDSL_WHEEL=1 $(PIP) wheel $(PIP_ARGS) --no-deps --wheel-dir dist .

clean:
	rm -rf build dist out site *.egg-info lrdsl/_build.json lrdsl/_C*.so
	find . -name __pycache__ -not -path './$(VENV)/*' -not -path './$(FRAMEWORKS)/*' -prune -exec rm -rf {} +
	rm -f $(INSTALLED) $(FRAMEWORKS)/.lrdsl-installed

.PHONY: help check test test-gpu models demo bench clean
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

# These come without their dependencies, which ask for a torch of their own: only models are used.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "trtdsl needs Python 3.11 or later; make PYTHON=/path/to/python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) -e '.[dev]'
	$(PIP_INSTALL) --no-deps torchvision timm diffusers
	@touch $@

# pycuda is built from source and may not be: without it, numpy arrays go through torch's pinned memory.
$(VENV)/.tensorrt: $(VENV)/.installed
	@if nvidia-smi -L >/dev/null 2>&1; then \
	    echo 'an NVIDIA GPU: installing TensorRT'; \
	    $(PIP_INSTALL) -e '.[tensorrt]' || $(PIP_INSTALL) tensorrt || exit 1; \
	    touch $@; \
	else \
	    echo 'no NVIDIA GPU: the reference backend will be used'; \
	fi

check: $(VENV)/.installed  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy trtdsl layers plugins

test: $(VENV)/.installed  ## all tests that need no GPU
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not gpu and not slow" -n $(WORKERS) --dist worksteal

models: $(VENV)/.installed  ## the models that take long, and those of published size, on the reference
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slow -n $(WORKERS) --dist worksteal tests/test_zoo.py

test-gpu: $(VENV)/.tensorrt  ## the tests that need a GPU and TensorRT
	$(BIN)/python -m pytest -q -m gpu

demo: $(VENV)/.tensorrt  ## train, convert and run a digit classifier
	$(BIN)/python examples/1_convert.py

bench: $(VENV)/.tensorrt  ## this path against the ONNX path, on a GPU
	$(BIN)/python -m benchmarks

clean:  ## remove what was built here
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

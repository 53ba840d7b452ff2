# One way to do each chore. A fresh checkout needs python3 (3.11 or newer) and make; everything else goes into .venv.
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench conformance demo-guest system-tools clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

help:
	@echo "make demo   record, replay and seek a small operating system"
	@echo "make test   all tests"
	@echo "make lint   style and types"
	@echo "make conformance   independent test suites, from the directory JITRR_SUITES"
	@echo "make bench  compare with QEMU: the boot of a Debian kernel, a hot loop"

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || .ci/system-tools python3-venv
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --config-settings native=later --editable '.[test,lint]'
	@echo "building native code for this machine..."
	@$(BIN)/python -m jitrr.engine.install
	@$(BIN)/python -m compileall -q jitrr frontends runtime
	@touch $@

demo: $(STAMP)
	$(BIN)/jitrr demo

test: $(STAMP) system-tools
	$(BIN)/python -m pytest -n 2 -q

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

# Independent test suites, from the directory JITRR_SUITES; writes docs/conformance.md.
conformance: $(STAMP)
	$(BIN)/python bench/conformance.py

bench: $(STAMP) system-tools
	$(BIN)/python bench/loop.py
	$(BIN)/python bench/boot.py
	$(BIN)/python bench/userland.py

# Rebuild the demo guests' shipped bytes from their sources (needs binutils, for ARM those of Debian's armhf).
demo-guest: system-tools
	$(MAKE) -C runtime/guests/demo
	$(MAKE) -C runtime/guests/demo_i386
	@if command -v arm-linux-gnueabihf-as > /dev/null; then $(MAKE) -C runtime/guests/demo_arm; fi

# What some tests and the benchmarks compare with. Without it they say so and skip: a failure here stops nothing.
system-tools:
	@.ci/system-tools

clean:
	rm -rf $(VENV) build jitrr/native *.egg-info .pytest_cache .ruff_cache .mypy_cache

# make demo, make test: each sets up .venv on its own. `make help` lists the rest.
PYTHON ?= python3
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu# asked where there is no GPU and pip offers only the CUDA build
ROS ?= auto# auto: the sourced ROS 2 if there is one, else the wheels; wheels: always the wheels
PIP_VERSION := 26.3
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/setup.stamp
PYTEST := $(BIN)/python -m pytest -p no:launch_testing -p no:launch_ros
export TORCH_INDEX
# Packages in the user's home folder must not shadow the pinned ones.
export PYTHONNOUSERSITE := 1
.DEFAULT_GOAL := help
.PHONY: help setup test demo lint clean
.SUFFIXES:

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16
	@echo "  PYTHON=python3.12 chooses the interpreter (3.10 or newer)"

setup: $(STAMP) ## prepare .venv (two to five minutes, once)

demo: $(STAMP) ## learn to walk, train over topics, export, deploy, report: at most 6 minutes
	@$(BIN)/python -m rl_robot_control demo

# Those with processes that keep a robot's rates have the machine for themselves.
test: $(STAMP) ## all tests
ifeq ($(strip $(PYTEST_ARGS)),)
	@$(PYTEST) -n 2 --dist loadfile -m "not realtime" test
	@$(PYTEST) -m realtime test/ros test/ros2_launch
else
	@$(PYTEST) $(PYTEST_ARGS)
endif

lint: $(STAMP) ## style check
	@$(BIN)/python -m ruff --version >/dev/null 2>&1 || $(BIN)/python -m pip --disable-pip-version-check install -qq 'ruff>=0.8'
	@$(BIN)/python -m ruff check .

clean: ## remove .venv, build results and caches; runs/ stays
	rm -rf $(VENV) build install log dist *.egg-info .pytest_cache .hypothesis .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): setup.py setup.cfg package.xml constraints.txt tools/install_torch.py tools/install_package.sh Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	  echo "rl_robot_control needs Python 3.10 to 3.13; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)."; \
	  echo "Name another one: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12"; exit 1; }
	@echo "[1/4] environment $(VENV) with $$($(PYTHON) --version)"
	@rm -f $(STAMP)
	@PYTHON="$(PYTHON)" VENV="$(VENV)" ROS="$(ROS)" PIP_VERSION="$(PIP_VERSION)" bash tools/install_package.sh
	@touch $(STAMP)
	@echo "ready: $(BIN)/rl_robot_control --help"

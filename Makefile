# `make demo` trains, merges, judges and serves a small study; `make test` checks everything in at most ten minutes.
# All paths are relative, so the project may lie in a folder whose name has spaces.
.POSIX:
.SUFFIXES:

# The first Python that is new enough; or name one: make PYTHON=/opt/python3.12/bin/python3 demo
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v "$$p" && break; done)
# Where torch comes from, e.g. TORCH_INDEX=https://download.pytorch.org/whl/cpu for the CPU build; empty: as the rest.
TORCH_INDEX ?=

RUN = .venv/bin/python -m
# Tests of several files at once; those of one file share what they were built on, so they stay together.
PYTEST = $(RUN) pytest --numprocesses auto --maxprocesses 4 --dist loadfile
INSTALL = $(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo demo-run test test-deep check browser clean

demo: demo-run  ## run the demo study, then serve its dashboard on 127.0.0.1
	$(RUN) mergescope dashboard

demo-run: .venv/installed  ## run the demo study without serving
	$(RUN) mergescope run studies/demo.yaml

test: check browser  ## lint, types, floors and all tests but the long ones
	$(PYTEST) -m "not deep"

test-deep: .venv/test-tools .venv/vllm browser  ## the long tests; vLLM's in a process apart, whose threads it keeps for itself
	$(PYTEST) -m "deep and not vllm"
	$(RUN) pytest -m "deep and vllm"

check: .venv/test-tools  ## lint, types, import floors
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	.venv/bin/lint-imports

clean:  ## remove the environment and what the demo made
	rm -rf .venv studies/demo results.duckdb*

.venv/made:
	@if .venv/bin/python -m pip --version >/dev/null 2>&1; then exit 0; fi; \
	if [ -z '$(PYTHON)' ]; then \
		echo 'No Python 3.11 or newer: install one (Debian: apt-get install python3 python3-venv) or name it (make PYTHON=...).' >&2; \
		exit 1; \
	fi; \
	if ! '$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null; then \
		version=$$('$(PYTHON)' -c 'import sys; print("python%d.%d" % sys.version_info[:2])'); \
		if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
			echo "$(PYTHON) cannot make environments: install its venv module (Debian: apt-get install $$version-venv)." >&2; \
			exit 1; \
		fi; \
		apt-get update -q && apt-get install -y -q "$$version-venv"; \
	fi; \
	'$(PYTHON)' -m venv --clear .venv
	@touch .venv/made

.venv/installed: .venv/made pyproject.toml constraints.txt
	@echo 'Installing what Mergescope stands on; this takes some minutes, once.'
	@if [ -n '$(TORCH_INDEX)' ]; then \
		$(RUN) pip install --quiet --no-deps --index-url '$(TORCH_INDEX)' "$$(grep '^torch==' constraints.txt)"; \
	fi
	@$(INSTALL) setuptools
	@$(INSTALL) --no-build-isolation --editable .
	@touch .venv/installed

.venv/test-tools: .venv/installed
	@$(INSTALL) --no-build-isolation --editable '.[test]'
	@touch .venv/test-tools

.venv/vllm: .venv/installed  # the extra where torch sees a GPU, else vLLM's CPU build, which is for Linux
	@set -e; \
	if .venv/bin/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then \
		$(INSTALL) --no-build-isolation --editable '.[vllm]'; \
		touch .venv/vllm; \
		exit 0; \
	fi; \
	case "$$(uname -sm)" in 'Linux x86_64' | 'Linux aarch64') ;; *) \
		echo 'vLLM has no build for this machine, so its tests are skipped.' >&2; exit 0;; \
	esac; \
	if ! command -v g++ >/dev/null || ! .venv/bin/python -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null; then \
		if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
			echo 'vLLM wants g++ and libnuma, so its tests are skipped: install them (Debian: apt-get install g++ libnuma1).' >&2; \
			exit 0; \
		fi; \
		apt-get update -q; \
		apt-get install -y -q --no-install-recommends g++ libnuma1; \
	fi; \
	echo 'Installing vLLM (1.3 GB); once.'; \
	sed '1,/^# vLLM/d' constraints.txt | $(INSTALL) --no-deps --requirement /dev/stdin; \
	touch .venv/vllm

browser:  # one test drives the dashboard in a real browser
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -q && apt-get install -y -q --no-install-recommends chromium chromium-driver fonts-noto-cjk; \
	else \
		echo 'Chromium is missing, so the browser test is skipped: install it (Debian: apt-get install chromium chromium-driver fonts-noto-cjk).' >&2; \
	fi

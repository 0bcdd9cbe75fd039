# One verb each, the same on a laptop, a Pi and CI. Needs make, git and Python 3.11 or newer with venv; everything else goes into .venv.

PYTHON ?= python3
DEMO_ARGS ?=
TEST_ARGS ?=
TEST_JOBS ?= 3
BENCH_ARGS ?=

VENV := .venv
RUN := $(VENV)/bin
LOCKED := $(VENV)/.locked
READY := $(VENV)/.ready
OPPONENTS := build/opponents
NODE := build/node
HOME_ASSISTANT := build/home-assistant

# command:Debian package, of what the tests start besides Python. `demo` needs none of them.
BROWSER_TOOLS := chromium:chromium zbarimg:zbar-tools fc-list:fontconfig pdftoppm:poppler-utils
# Fonts, and what WeasyPrint loads for a sign as PDF.
BROWSER_FONTS := fonts-dejavu-core fonts-khmeros libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0
INTEROP_TOOLS := mosquitto:mosquitto node:nodejs npm:npm psql:postgresql postgres:postgresql go:golang-go
TEST_TOOLS := mosquitto:mosquitto ip:iproute2 mosquitto_sub:mosquitto-clients dbus-daemon:dbus-daemon systemd-analyze:systemd strace:strace go:golang-go
# Debian packages without a command: Go's checksum database, which reads our log, and the libraries by which Telegraf reads packs.
TEST_SOURCES := golang-golang-x-mod-dev golang-github-antchfx-jsonquery-dev

export PATH := $(PATH):/usr/sbin:/sbin$(addprefix :,$(wildcard /usr/lib/postgresql/*/bin))
MAKEFLAGS += --no-print-directory --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: help demo test browser check privacy soak bench lock tools browser-tools interop interop-tools

help:
	@echo 'make demo    a whole unit on this machine: board, four daemons, radio, broker, subscriber  (DEMO_ARGS="--seconds 60")'
	@echo 'make test    the tests, 15 minutes at most  (TEST_ARGS="tests/wire -k cbor")'
	@echo 'make browser the resident'"'"'s page and the printed sign in headless Chromium, the sign as PDF; leaves pictures in build/screenshots'
	@echo 'make interop what the city runs: the official AsyncAPI parser, Node-RED and Home Assistant, from npm and PyPI, and PostgreSQL, on real releases'
	@echo 'make check   formatting, lint, types, import walls, systemd units, then the tests'
	@echo 'make privacy the red team, R1 to R21, with what it measured beside what is claimed; 2 minutes'
	@echo 'make soak    the long counts only; writes build/soak.json'
	@echo 'make bench   the measurements in tests/bench (bench_*.py, which make test leaves alone)'
	@echo 'make lock    requirements.lock again from pyproject.toml'

demo: $(READY)
	@$(RUN)/dtpr-agent demo $(DEMO_ARGS)

test: $(READY) tools
	@$(RUN)/python -m pytest -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder -m "not soak and not privacy" $(TEST_ARGS)

browser: $(READY) browser-tools
	@$(RUN)/python -m pytest -o python_files='browse_*.py' -m "not soak" tests/browser $(TEST_ARGS)

interop: $(READY) interop-tools $(NODE)/.ready $(HOME_ASSISTANT)/.ready
	@$(RUN)/python -m pytest -o python_files='interop_*.py' tests/interop $(TEST_ARGS)

check: $(READY) tools
	@$(RUN)/ruff format --quiet --check .
	@$(RUN)/ruff check --quiet .
	@$(RUN)/mypy --no-error-summary
	@report=$$($(RUN)/lint-imports --no-logo) || { echo "$$report"; exit 1; }
	@$(RUN)/python -m tests.systemd.installation
	@$(RUN)/python -m pytest -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder -m "not soak and not privacy" $(TEST_ARGS)

privacy: $(READY) tools
	@$(RUN)/python -m pytest --red-team -m "privacy and not soak" tests/privacy $(TEST_ARGS)

soak: $(READY) tools browser-tools
	@$(RUN)/python -m pytest -o python_files='test_*.py browse_*.py' -m soak $(TEST_ARGS)

bench: $(READY) tools interop-tools $(OPPONENTS)/.ready $(NODE)/.ready
	@ls tests/bench/bench_*.py >/dev/null 2>&1 || { echo 'There is nothing to measure yet: tests/bench has no bench_*.py' >&2; exit 1; }
	@$(RUN)/python -m pytest -s -o python_files='bench_*.py' tests/bench $(BENCH_ARGS)

$(OPPONENTS)/.ready: tests/bench/opponents/requirements.txt $(LOCKED)
	@echo 'Setting up $(OPPONENTS) with what we compare with, once; half a gigabyte.'
	@$(PYTHON) -m venv --clear $(OPPONENTS)
	@$(OPPONENTS)/bin/python -m pip install -qq --disable-pip-version-check -r $<
	@touch $@

$(HOME_ASSISTANT)/.ready: tests/interop/home_assistant/requirements.txt $(LOCKED)
	@echo 'Setting up $(HOME_ASSISTANT) with Home Assistant, once; a minute.'
	@$(PYTHON) -m venv --clear $(HOME_ASSISTANT)
	@$(HOME_ASSISTANT)/bin/python -m pip install -qq --disable-pip-version-check -r $<
	@touch $@

$(NODE)/.ready: tests/node/package.json tests/node/package-lock.json
	@echo 'Setting up $(NODE) from tests/node/package-lock.json, once; a minute or two.'
	@mkdir -p $(NODE) && cp $^ $(NODE)
	@cd $(NODE) && npm ci --ignore-scripts --no-audit --no-fund >npm.log 2>&1 || { cat npm.log >&2; \
	  echo 'npm could not fetch what tests/node/package-lock.json names: is a package registry reachable? make interop and make bench need one, once.' >&2; exit 1; }
	@touch $@

$(LOCKED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	@echo 'Setting up $(VENV) from requirements.lock, once; about a minute.'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(RUN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(READY): $(LOCKED) pyproject.toml
	@$(RUN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@touch $@

tools browser-tools interop-tools:
	@missing=; tools='$(TEST_TOOLS)'; others='$(TEST_SOURCES)'; \
	if [ $@ = browser-tools ]; then tools='$(BROWSER_TOOLS)'; others='$(BROWSER_FONTS)'; fi; \
	if [ $@ = interop-tools ]; then tools='$(INTEROP_TOOLS)'; fi; \
	for tool in $$tools; do \
	  command -v "$${tool%%:*}" >/dev/null || missing="$$missing $${tool#*:}"; \
	done; \
	for other in $$others; do \
	  dpkg-query -W $$other >/dev/null 2>&1 || ! command -v apt-get >/dev/null || missing="$$missing $$other"; \
	done; \
	[ -z "$$missing" ] && exit 0; \
	line="apt-get update && apt-get install --yes --no-install-recommends$$missing"; \
	if [ "$$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then \
	  echo "The tests need programs that are not here. As root: $$line" >&2; exit 1; \
	fi; \
	echo "$$line"; \
	log=$$(mktemp); export DEBIAN_FRONTEND=noninteractive; \
	sh -ec "$$line" >"$$log" 2>&1 </dev/null || { cat "$$log" >&2; rm -f "$$log"; exit 1; }; \
	rm -f "$$log"

# Universal: Python 3.11 and newer, every platform that has wheels; no index address inside. What is locked stays as it is: remove the file
# first to have everything newer.
lock:
	@command -v uv >/dev/null || { echo 'make lock needs uv: https://docs.astral.sh/uv/' >&2; exit 1; }
	@uv pip compile --quiet --no-config --universal --fork-strategy fewest --python-version 3.11 --all-extras --group build \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --annotation-style line \
	  --custom-compile-command 'make lock' --output-file requirements.lock pyproject.toml

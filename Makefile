# make run: the whole product on this machine. make test: every test. Both install what they need, pinned.
.PHONY: run test lint bench deploy setup lock clean
SHELL := /bin/bash

VENV := .venv
PYTHON := $(VENV)/bin/python
# Node from PyPI lands in the virtual environment too, and comes first on the path.
export PATH := $(CURDIR)/$(VENV)/bin:$(CURDIR)/node_modules/.bin:$(PATH)
export WRANGLER_SEND_METRICS := false

run: $(VENV)/local.stamp $(VENV)/node.stamp
	@exec $(PYTHON) -m local

test: setup
	$(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: setup
	ruff check .
	ruff format --check .
	mypy
	wrangler deploy --dry-run --outdir dist

bench: setup
	$(PYTHON) -m bench

deploy: setup
	$(PYTHON) -m pip install --quiet --require-hashes -r requirements/deploy.txt
	pywrangler deploy

setup: $(VENV)/development.stamp $(VENV)/node.stamp

$(VENV)/local.stamp: requirements/local.txt pyproject.toml
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --require-hashes -r requirements/local.txt
	$(PYTHON) -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/development.stamp: requirements/development.txt $(VENV)/local.stamp
	$(PYTHON) -m pip install --quiet --require-hashes -r requirements/development.txt
	touch $@

$(VENV)/node.stamp: package-lock.json requirements/node.txt $(VENV)/local.stamp
	node -e 'process.exit(process.versions.node.split(".")[0] >= 22 ? 0 : 1)' 2>/dev/null \
	  || $(PYTHON) -m pip install --quiet --require-hashes -r requirements/node.txt
	npm ci --no-audit --no-fund --loglevel=error
	@# A binary is an optional package to npm, which passes over what it could not download.
	@node_modules/.bin/workerd --version >/dev/null && node_modules/.bin/esbuild --version >/dev/null \
	  || { echo "npm could not download all packages; run make again once the registry answers" >&2; exit 1; }
	touch $@

# Pin the Python packages anew, with hashes and without addresses.
COMPILE := uv pip compile pyproject.toml --universal --generate-hashes --quiet --custom-compile-command "make lock"
lock:
	$(COMPILE) --python-version 3.11 --group development --group examples --output-file requirements/development.txt
	for group in local control-plane; do \
	  $(COMPILE) --python-version 3.11 --group $$group --constraints requirements/development.txt \
	    --output-file requirements/$$group.txt; done
	$(COMPILE) --python-version 3.12 --group deploy --output-file requirements/deploy.txt
	$(COMPILE) --python-version 3.11 --group node --output-file requirements/node.txt
	$(subst pyproject.toml,bench/litellm/pyproject.toml,$(COMPILE)) --python-version 3.11 \
	  --output-file requirements/bench-litellm.txt
	npm install --package-lock-only
	npm install --package-lock-only --prefix bench/portkey

clean:
	rm -rf $(VENV) node_modules dist .local

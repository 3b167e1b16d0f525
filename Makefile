# Everything a person or a machine does with this project; `make` alone lists it.
BIN := .venv/bin
SOURCES := gateway tests dashboards
# Tests wait for real servers for more than half of the time: two processes for each core.
APART := --numprocesses 4 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help run setup test check drills package image-bill image-test fuzz torture conformance lint bench bench-quick bench-record capacity dashboards lock chart clean
.DELETE_ON_ERROR:

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

run: .venv/requirements.lock ## the gateway in front of a simulated upstream, at once; Ctrl-C ends it
	@$(BIN)/gateway demo

setup: .venv/requirements-dev.lock ## the environment .venv, exactly as requirements-dev.lock pins it

test: lint ## everything: lint, types, all tests with real servers, unit tests on a second Python
	.ci/servers
	.ci/second-python
	$(BIN)/python -m tests.second_run --cov $(APART)

check: lint ## the quick part: format, lint, types, floors, fast tests
	$(BIN)/python -m pytest --numprocesses 2 tests/house tests/unit

drills: setup ## the long failure drills: crowds, malformed requests, schemathesis, soaks; an hour and a half
	$(BIN)/python -m pytest $(APART) tests/integration --clocks-apart -q
	$(BIN)/python -m pytest $(APART) tests/integration --documented-acl -q
	$(BIN)/python -m pytest $(APART) tests/integration tests/system --bad-day --timeout 600 -q
	$(BIN)/python -m pytest tests/drills --timeout 1800 -v -o log_cli=true -o log_cli_level=INFO

package: setup ## wheel, source archive, bill of materials and chart, in dist; HOME_URL=, SOURCE_URL=, ICON_URL=: what the chart names
	@$(BIN)/python -m tests.delivery.release

image-bill: setup ## a bill of materials of an image, in dist; ARCHIVE=: what docker save or podman save wrote
	@$(BIN)/python -m tests.delivery.release $(ARCHIVE)

image-test: setup ## build the image with buildah on a stand-in of its base, run it without any right; needs root
	.ci/servers buildah podman runc mmdebstrap
	$(BIN)/python -m pytest tests/image --timeout 900 -v -o log_cli=true -o log_cli_level=INFO

fuzz: setup ## the fuzzers of tests/fuzz, a hundred times as long as in `make test`: about an hour
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest tests/fuzz --timeout 7200 -v --durations 0

torture: setup ## hard cases put to this gateway, nginx and Varnish: a table; ARGS="--help" says more
	$(BIN)/python -m tests.torture $(ARGS)

conformance: setup ## a public suite for HTTP caches, SUITE=its checkout (github.com/http-tests/cache-tests); wants Node
	@test -n "$(SUITE)" || { echo "make conformance SUITE=FOLDER, a checkout of http-tests/cache-tests"; exit 2; }
	$(BIN)/python -m tests.conformance $(SUITE) $(TEST)

lint: setup ## format, lint and types alone
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy

bench: setup ## what a hit costs beside nginx and Varnish, and how it grows: figures in build/bench; ARGS="--beside FOLDER": another checkout's too
	$(BIN)/python -m tests.bench --python "$$(.ci/bench-python)" $(ARGS)

bench-quick: setup ## the same in one short round, about four minutes
	$(BIN)/python -m tests.bench --quick --python "$$(.ci/bench-python)" $(ARGS)

bench-record: setup ## three runs of it in a row, about half an hour, written into docs/ and the README
	$(BIN)/python -m tests.bench --runs 3 --record --python "$$(.ci/bench-python)"

capacity: setup ## count what one, two and three replicas ask of Redis, and write docs/capacity.md from that
	$(BIN)/python -m tests.bench.capacity --python "$$(.ci/bench-python)"

dashboards: setup ## renew dashboards, rules, docs/metrics.md, and the documents of the live page; RUNBOOK_URL=, GRAFANA_URL=: what alerts link to
	$(BIN)/python -m dashboards.source
	@$(BIN)/python -m tests.delivery.chart

lock: setup ## renew the lock files after a change in pyproject.toml; UPGRADE=1: to newest versions
	$(BIN)/python -m tests.house.locks $(if $(UPGRADE),--upgrade)

chart: setup ## renew what the chart has from elsewhere: settings, version, dashboards and rules, its README's table
	@$(BIN)/python -m tests.delivery.chart

clean: ## remove the environments and all that tools left behind
	rm -rf .venv .venv-second .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache \
	  .coverage htmlcov build dist
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# The copy of a lock in .venv says that it is installed there; the second one contains the first.
.venv/requirements-dev.lock: requirements.lock
.venv/%.lock: %.lock requirements-build.lock pyproject.toml .ci/make-venv .ci/build-tools
	@.ci/make-venv $(@F)

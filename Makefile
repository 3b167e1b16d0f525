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

run: .venv/requirements.lock ## run the gateway in front of a simulated API; Ctrl-C ends it
	@$(BIN)/gateway demo

setup: .venv/requirements-dev.lock ## make the environment .venv with the versions of requirements-dev.lock

test: lint ## lint, types, all tests with real servers, and the unit tests on a second Python
	.ci/servers
	.ci/second-python
	$(BIN)/python -m tests.second_run --cov $(APART)

check: lint ## format, lint, types, floors and the fast tests
	$(BIN)/python -m pytest --numprocesses 2 tests/house tests/unit

drills: setup ## the long failure drills (crowds, malformed requests, schemathesis, soaks): about two hours
	$(BIN)/python -m pytest $(APART) tests/integration --clocks-apart -q
	$(BIN)/python -m pytest $(APART) tests/integration --documented-acl -q
	$(BIN)/python -m pytest $(APART) tests/integration tests/system --bad-day --timeout 600 -q
	$(BIN)/python -m pytest tests/drills tests/integration --full -v -o log_cli=true -o log_cli_level=INFO

package: setup ## make wheel, source archive, bill of materials and chart in dist; HOME_URL=, SOURCE_URL=, ICON_URL= are for the chart
	@$(BIN)/python -m tests.delivery.release

image-bill: setup ## make the bill of materials of an image in dist; ARCHIVE= is the output of docker save or podman save
	@$(BIN)/python -m tests.delivery.release $(ARCHIVE)

image-test: setup ## build the image with buildah on a substitute of its base, and run it without any right; needs root
	.ci/servers buildah podman runc mmdebstrap
	$(BIN)/python -m pytest tests/image --timeout 900 -v -o log_cli=true -o log_cli_level=INFO

fuzz: setup ## run tests/fuzz a hundred times as long as `make test` does: about an hour
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest tests/fuzz --timeout 7200 -v --durations 0

torture: setup ## test hard cases with this gateway, nginx and Varnish, and print a table; ARGS="--help" says more
	$(BIN)/python -m tests.torture $(ARGS)

conformance: setup ## run a public suite for HTTP caches; SUITE= is a checkout of github.com/http-tests/cache-tests; needs Node
	@test -n "$(SUITE)" || { echo "make conformance SUITE=FOLDER, a checkout of http-tests/cache-tests"; exit 2; }
	$(BIN)/python -m tests.conformance $(SUITE) $(TEST)

lint: setup ## format, lint and types only
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy

bench: setup ## measure what a hit costs, also in nginx and Varnish, with figures in build/bench; ARGS="--beside FOLDER" measures another checkout too
	$(BIN)/python -m tests.bench --python "$$(.ci/bench-python)" $(ARGS)

bench-quick: setup ## the same as bench, in one short round: about four minutes
	$(BIN)/python -m tests.bench --quick --python "$$(.ci/bench-python)" $(ARGS)

bench-record: setup ## run bench three times, and write the figures into docs/ and the README: about half an hour
	$(BIN)/python -m tests.bench --runs 3 --record --python "$$(.ci/bench-python)"

capacity: setup ## count the requests of one, two and three replicas to Redis, and write docs/capacity.md
	$(BIN)/python -m tests.bench.capacity --python "$$(.ci/bench-python)"

dashboards: setup ## write dashboards, rules, docs/metrics.md and the documents of the live page; RUNBOOK_URL=, GRAFANA_URL= are for the links of alerts
	$(BIN)/python -m dashboards.source
	@$(BIN)/python -m tests.delivery.chart

lock: setup ## write the lock files after a change in pyproject.toml; UPGRADE=1 takes the newest versions
	$(BIN)/python -m tests.house.locks $(if $(UPGRADE),--upgrade)

chart: setup ## write the parts of the chart that come from other files: settings, version, dashboards, rules, the table of its README
	@$(BIN)/python -m tests.delivery.chart

clean: ## remove the environments and all files that tools have made
	rm -rf .venv .venv-second .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache \
	  .coverage htmlcov build dist
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# The copy of a lock in .venv says that it is installed there; the second one contains the first.
.venv/requirements-dev.lock: requirements.lock
.venv/%.lock: %.lock requirements-build.lock pyproject.toml .ci/make-venv .ci/build-tools
	@.ci/make-venv $(@F)

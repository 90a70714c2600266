# make run    builds everything and starts the demonstration
# make test   builds everything and runs every test, browser tests included
#
# Needed: a Rust toolchain, Node.js with npm, make, a C compiler. Everything else is fetched here.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

CARGO ?= cargo
NPM_CI := npm ci --no-audit --no-fund --loglevel=error
LISTEN ?= 127.0.0.1:8080
DATA ?= ./cairn-data/demo

.PHONY: help run build native web test test-rust test-browser lint crash bench bench-reports fmt clean FORCE

help:
	@sed -n '1,4p' Makefile

# --- what is fetched ---------------------------------------------------------------------------------------------

native:
	@./native/fetch.sh

tracker/node_modules/.package-lock.json: tracker/package-lock.json
	cd tracker && $(NPM_CI)
dashboard/node_modules/.package-lock.json: dashboard/package-lock.json
	cd dashboard && $(NPM_CI)
e2e/node_modules/.package-lock.json: e2e/package-lock.json
	cd e2e && $(NPM_CI)

# --- what is built -----------------------------------------------------------------------------------------------

tracker/dist/cairn.js: tracker/node_modules/.package-lock.json $(wildcard tracker/src/*.ts tracker/src/parts/*.ts tracker/*.mjs tracker/*.json)
	cd tracker && npm run --silent build
dashboard/dist/index.html: dashboard/node_modules/.package-lock.json $(shell find dashboard/src dashboard/public dashboard/index.html dashboard/vite.config.ts -type f 2>/dev/null) docs/openapi.json
	cd dashboard && npm run --silent build
web: tracker/dist/cairn.js dashboard/dist/index.html

build: native web
	$(CARGO) build --release --locked --package cairn

run: build
	CAIRN_ENRICH__DATABASES=native/data/country.mmdb,native/data/asn-ipv4.csv,native/data/asn-ipv6.csv \
	  ./target/release/cairn demo --data $(DATA) --listen $(LISTEN)

# --- what is checked ---------------------------------------------------------------------------------------------

test: build test-rust test-browser
	@sh scripts/not-run.sh

# Each part adds the tests that it could not run.
target/not-run.log: FORCE
	@mkdir -p target && : > $@
FORCE:

test-rust: native web target/not-run.log
	@CARGO="$(CARGO)" sh scripts/test-rust.sh

test-browser: build e2e/node_modules/.package-lock.json target/not-run.log
	cd tracker && npm run --silent size
	cd dashboard && npm run --silent check && npm run --silent check:api && npm run --silent check:format
	CHROMIUM=$$(sh scripts/browser.sh) && export CHROMIUM && (cd dashboard && npm test --silent) && (cd e2e && npm test --silent)

lint: native web
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

fmt:
	$(CARGO) fmt --all

# All the crash cycles (make test runs a few of them).
crash: build
	CAIRN_CRASH_CYCLES=200 $(CARGO) test --release --locked --package cairn --test it crash -- --nocapture

bench: build
	sh bench/run.sh

# Reports on a hundred million events: about two hours and 20 GB of disk. CAIRN_BENCH_EVENTS for fewer.
bench-reports: build
	$(CARGO) build --release --locked --package cairn_store --example by_hand
	$(CARGO) build --quiet --release --manifest-path bench/offered/Cargo.toml --target-dir bench/offered/target
	node bench/reports.mjs "$${CAIRN_BENCH_EVENTS:-100000000}"

clean:
	$(CARGO) clean
	rm -rf native/duckdb native/data tracker/dist tracker/module dashboard/dist tracker/node_modules dashboard/node_modules e2e/node_modules

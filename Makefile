# What is run here is what CI runs. Each target can be run by itself; `make help` lists them.

CARGO ?= cargo
SHELL := /bin/bash

# The build that systems without several processes get. A wrapper is for what is in this workspace alone, so what it
# depends on is not built again, as it would be with RUSTFLAGS; clippy is such a wrapper itself.
SINGLE := RUSTC_WORKSPACE_WRAPPER="$(CURDIR)/scripts/rustc-single.sh" $(CARGO)
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)

.PHONY: help ci test test-single test-node law smoke bench bench-node fmt fmt-check lint fuzz-check doc msrv deny chromium servers static

help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14

# Everything that has to hold before a change is merged. A test that cannot run is a failure here.
ci: export CI = true
ci: export NEXTEST_PROFILE = ci
ci: export CHAOS_SECONDS ?= 40
ci: export CARGO_INCREMENTAL = 0
ci: fmt-check ## all of the below but bench, msrv and deny
	@# What the tests need of others comes while cargo compiles.
	@scripts/install-servers.sh >/dev/null & servers=$$!; $(MAKE) --no-print-directory lint doc && wait $$servers
	$(MAKE) --no-print-directory test smoke

# The whole workspace each time, so that what it depends on is built with one set of features. Tests start examples,
# which are built with the tests of all packages only.
test: chromium servers ## unit and real-process tests, doctests, the single-process build, and the Node.js package
ifneq ($(NEXTEST),)
	$(CARGO) nextest run --locked --workspace
else
	$(CARGO) build --locked --workspace --examples
	$(CARGO) test --locked --workspace --lib --bins --tests
endif
	$(CARGO) test --locked --workspace --doc
	$(MAKE) --no-print-directory test-single
	$(MAKE) --no-print-directory test-node

test-single: ## the library without nodes, as on systems other than Linux
	$(SINGLE) test --locked -p multi-node --lib
	$(SINGLE) build --locked -p multi-node --examples

# `make test-node NODE=/path/to/bin/node` tests with another Node.js than that of PATH.
test-node: ## the Node.js package; needs Node.js 20 or later and npm
	CARGO="$(CARGO)" scripts/test-node.sh

law: ## what must not stand where, by the test that reads the sources
	$(CARGO) test --locked -p multi-node-it --test laws

smoke: ## an example and the benchmarks from optimised builds, started as a new user starts them
	CARGO="$(CARGO)" scripts/smoke.sh

bench: ## the comparisons of docs/benchmarks.md; takes some minutes
	$(CARGO) run --locked --release -p multi-node-bench -- http
	$(CARGO) run --locked --release -p multi-node-bench -- mesh
	$(CARGO) run --locked --release -p multi-node-bench -- start
	scripts/install-peers.sh
	$(CARGO) run --locked --release -p multi-node-bench -- loss

bench-node: ## the Node.js package beside node:cluster; about 5 minutes after the builds
	cd crates/multi-node-napi && node build.mjs --release
	$(CARGO) build --locked --release -p multi-node-bench
	cd crates/multi-node-napi && node bench/compare.mjs

fmt: ## format the sources
	$(CARGO) fmt --all

fmt-check:
	$(CARGO) fmt --all --check

lint: fuzz-check ## clippy, warnings being errors, for both builds; the fuzz targets
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked -p multi-node --all-targets -- -D warnings --cfg multi_node_single

# They run by cargo-fuzz, with its toolchain and libfuzzer; to check them neither is needed, nor is libfuzzer built.
fuzz-check:
	RUSTFLAGS="$(RUSTFLAGS) --cfg fuzzing" CUSTOM_LIBFUZZER_PATH=/none/libfuzzer.a \
		$(CARGO) check --manifest-path fuzz/Cargo.toml --bins --target-dir $(or $(CARGO_TARGET_DIR),target)/fuzz

doc: ## the library's documentation, warnings being errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked -p multi-node --no-deps --features axum

# `rust-version` in Cargo.toml names the same release.
msrv: ## check with the oldest compiler that is supported; rustup fetches it
	rustup run --install 1.89 cargo check --locked -p multi-node --features axum --target-dir target/msrv

deny: ## advisories, licences and banned crates; needs cargo-deny
	$(CARGO) deny --locked check

# The browser tests of the chat page drive a Chromium. Where none can be installed they are skipped, and say so.
chromium:
	@if [ -x scripts/install-chromium.sh ]; then scripts/install-chromium.sh || [ "$${CI:-}" != true ]; fi

# It needs no C compiler. rustup fetches the target.
static: ## the command as one file without shared libraries, and a node of it started
	rustup target add x86_64-unknown-linux-musl
	$(CARGO) build --locked --release --target x86_64-unknown-linux-musl -p multi-node-cli
	$${CARGO_TARGET_DIR:-target}/x86_64-unknown-linux-musl/release/multi-node run -n 1 --ready-after 100ms -- \
		sh -c 'echo a node is started; sleep 1; kill $$PPID; sleep 60'

# The tests of `multi-node run` start servers of others. Those that cannot be had are skipped, and the tests say so.
servers:
	@scripts/install-servers.sh >/dev/null

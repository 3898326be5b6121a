# Builds, shows, tests, measures and installs misp2memcached; `make` alone says what there is.
#
# What a target needs and the machine lacks is installed with apt-get (Debian, Ubuntu):
# directly as root, else with sudo. Rust itself is not: see https://rustup.rs.

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
# Features of the build besides the usual ones, such as FEATURES=kafka.
FEATURES ?=
# Options of the benchmark, such as ARGS="--attributes 10000000".
ARGS ?=

# Inputs of each fuzz target, and which targets.
RUNS ?= 200000
TARGETS ?= $(basename $(notdir $(wildcard fuzz/targets/*.rs)))

# rustup puts cargo there; a shell that was open before does not know.
export PATH := $(PATH):$(HOME)/.cargo/bin

PROGRAM = $(or $(CARGO_TARGET_DIR),target)/release/misp2memcached
SHARE = $(DESTDIR)$(PREFIX)/share
DOC = $(SHARE)/doc/misp2memcached

.PHONY: help build demo test bench bench-follow fuzz lint msrv install deb deb-test deps rust

help: ## this list
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | while read -r name what; do printf '  %-8s %s\n' "$$name" "$$what"; done
	@echo "PREFIX=$(PREFIX) and DESTDIR= are for install, CARGO_TARGET_DIR is cargo's."

build: rust ## the program, for release (FEATURES=kafka)
	@$(call need,gcc $(if $(FEATURES),g++))
	$(CARGO) build --release --locked$(if $(FEATURES), --features $(FEATURES))

demo: rust ## see it work: a sample MISP, a real memcached, look-ups, Falco's rules
	@$(call need,gcc memcached)
	$(CARGO) build --release --locked
	@$(PROGRAM) demo

# Those of Kafka wait most of their time for a group to share partitions out. The mock binds a
# broker's port anew when it takes the broker away, which fails while another test starts a
# process that still has the old socket: those run one by one.
test: rust ## all tests: the program's, the benchmark's, Logstash's filters on MRI and JRuby
	@$(call need,gcc g++ memcached openssl python3-zmq ruby ruby-dalli time)
	@$(call want,jruby)
	$(CARGO) test --locked
	$(CARGO) test --locked --bench load
	$(CARGO) test --locked --bench follow
	$(CARGO) test --locked --features kafka kafka -- --test-threads 8 --skip brokers_away
	$(CARGO) test --locked --features kafka brokers_away -- --test-threads 1
	ruby tests/logstash/process_ioc_test.rb
	ruby tests/logstash/misp_lookup_test.rb

bench: rust ## how fast a load is, beside what the machine can do (ARGS="...")
	@$(call need,gcc memcached time)
	$(CARGO) bench --locked --bench load -- $(ARGS)

bench-follow: rust ## how soon a live message is in memcached, and how many a second (ARGS="...")
	@$(call need,gcc memcached python3-zmq)
	$(CARGO) bench --locked --bench follow -- $(ARGS)

# cargo-fuzz passes flags of the nightly toolchain; RUSTC_BOOTSTRAP lets the stable one take them.
fuzz: rust ## hostile input by the hundred thousand (RUNS=200000 TARGETS="configuration ...")
	@$(call need,g++)
	@cargo fuzz --version >/dev/null 2>&1 || $(CARGO) install cargo-fuzz --locked
	export RUSTC_BOOTSTRAP=1; $(CARGO) fuzz build --sanitizer none && for target in $(TARGETS); do \
	    echo "== $$target"; mkdir -p fuzz/corpus/$$target; \
	    $(CARGO) fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	        -runs=$(RUNS) -max_len=4096 -timeout=10 -rss_limit_mb=1024 -verbosity=0 -print_final_stats=1 < /dev/null || exit 1; \
	done

lint: rust ## formatting, clippy and the documentation's links, without a warning; whether the fuzz targets compile
	@$(call need,gcc g++)
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --all-targets --features kafka -- -D warnings
	$(CARGO) clippy --locked --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps
	$(CARGO) check --locked --manifest-path fuzz/Cargo.toml

# The oldest toolchain that Cargo.toml says is enough. rustup gets it, if it can; without
# it nothing was checked, which is said and is no failure. Where it is the one that is used
# anyway, lint and the tests have shown as much.
MSRV = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

msrv: rust ## whether it compiles with the oldest Rust that Cargo.toml names
	@$(call need,gcc g++)
	@case "$$($(CARGO) --version)" in *" $(MSRV)."* | *" $(MSRV) "*) echo "Rust $(MSRV) is what is used anyway"; exit 0;; esac; \
	have() { $(CARGO) "+$$1" --version 2>/dev/null; }; \
	if have $(MSRV).0; then old=$(MSRV).0; \
	elif have $(MSRV) || { rustup toolchain install $(MSRV) --profile minimal >/dev/null 2>&1 && have $(MSRV); }; then old=$(MSRV); \
	else echo "Rust $(MSRV) cannot be had: skipped"; exit 0; fi; \
	set -ex; \
	$(CARGO) "+$$old" check --locked --all-targets; \
	$(CARGO) "+$$old" check --locked --features kafka

# `make build && sudo make install`: root, who may have no cargo, installs what you built.
install: ## program, manual pages, completions, documentation with example, Logstash's and Wazuh's files
	if command -v $(CARGO) >/dev/null; then $(MAKE) build; else test -x $(PROGRAM) || { echo "run make build first" >&2; exit 1; }; fi
	install -D -m 0755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/misp2memcached
	install -d $(SHARE)/man/man1 $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions \
	    $(SHARE)/fish/vendor_completions.d $(DOC)/docs/images $(DOC)/logstash $(DOC)/packaging
	$(PROGRAM) man --directory $(SHARE)/man/man1
	$(PROGRAM) completions bash > $(SHARE)/bash-completion/completions/misp2memcached
	$(PROGRAM) completions zsh > $(SHARE)/zsh/site-functions/_misp2memcached
	$(PROGRAM) completions fish > $(SHARE)/fish/vendor_completions.d/misp2memcached.fish
	install -m 0644 misp2memcached.example.yaml README.md CHANGELOG.md LICENSE $(DOC)
	install -m 0644 docs/*.md $(DOC)/docs
	install -m 0644 docs/images/*.svg $(DOC)/docs/images
	cp -R logstash/. $(DOC)/logstash
	cp -R packaging/. $(DOC)/packaging
	chmod -R u=rwX,go=rX $(DOC)/logstash $(DOC)/packaging

deb: rust ## the Debian package, into target/deb
	@$(call need,gcc debhelper)
	packaging/build-deb

deb-test: rust ## the package in a clean root of Debian: installed, used, upgraded, removed, purged
	@$(call need,gcc debhelper debootstrap fish lintian man-db memcached systemd systemd-container zsh)
	packaging/test-deb
	packaging/test-systemd

deps: ## what the other targets need from the distribution
	@$(call need,gcc g++ memcached openssl python3-zmq ruby ruby-dalli time)
	@$(call want,jruby)

rust:
	@command -v $(CARGO) >/dev/null || { echo "there is no cargo: install Rust, https://rustup.rs" >&2; exit 1; }

# Installs those of the packages $(1) whose program is not there.
define need
set -e; missing=; \
for package in $(1); do \
    case $$package in \
        debhelper) command -v dh >/dev/null && command -v dpkg-buildpackage >/dev/null || missing="$$missing debhelper dpkg-dev";; \
        man-db) command -v man >/dev/null || missing="$$missing man-db";; \
        systemd-container) command -v systemd-nspawn >/dev/null || missing="$$missing systemd-container procps";; \
        systemd) command -v systemd-analyze >/dev/null || missing="$$missing systemd";; \
        gcc) command -v cc >/dev/null || missing="$$missing gcc libc6-dev";; \
        ruby-dalli) ruby -e 'require "dalli"' 2>/dev/null || missing="$$missing ruby-dalli";; \
        python3-zmq) /usr/bin/python3 -c 'import zmq' 2>/dev/null || missing="$$missing python3-zmq";; \
        time) env time --version >/dev/null 2>&1 || missing="$$missing time";; \
        *) command -v $$package >/dev/null || missing="$$missing $$package";; \
    esac; \
done; \
if [ -n "$$missing" ]; then \
    command -v apt-get >/dev/null || { echo "please install:$$missing" >&2; exit 1; }; \
    root=; [ "$$(id -u)" = 0 ] || root=sudo; \
    install="$$root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends$$missing"; \
    echo "$$install"; \
    $$install || { $$root apt-get update && $$install; }; \
fi
endef

# The same for a package that a distribution may not have: without it its tests are
# left out, which they say.
define want
command -v $(1) >/dev/null || { \
    command -v apt-get >/dev/null || { echo "without $(1): its tests are left out"; exit 0; }; \
    root=; [ "$$(id -u)" = 0 ] || root=sudo; \
    apt-cache show $(1) >/dev/null 2>&1 || $$root apt-get update || true; \
    $$root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(1) || \
        echo "without $(1): its tests are left out"; \
}
endef

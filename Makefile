# SPDX-License-Identifier: BSD-2-Clause
#
# The front door; meson.build is the build. make, make demo, make test, make test-suites, make bench, make install.

PREFIX ?= /usr/local

all: build/build.ninja
	ninja -C build

# A layer's directory changes when a file is added or taken away: look for sources again.
build/build.ninja: meson.build meson_options.txt src/meson.build $(wildcard src/*/) tests/unit
	tools/setup --quiet build
	meson setup build --prefix=$(PREFIX) $(if $(wildcard build/build.ninja),--reconfigure)
	touch $@

demo:
	tools/setup build demo
	$(MAKE) all
	bench/demo

test:
	tools/setup build test
	tests/run

test-suites:
	tools/setup build test suites
	tests/suites/fetch
	$(MAKE) all
	tests/suites/run

bench:
	tools/setup build bench
	$(MAKE) all
	build/scilan bench all --json build/bench.json --html build/bench.html
	@echo "The same with plots: build/bench.html"

install: all
	ninja -C build install

clean:
	rm -rf build build-*

.PHONY: all demo test test-suites bench install clean

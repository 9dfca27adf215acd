# mica's build in one word each. CMake does the work (see CMakePresets.json); this is the front door.
#
#     make            the program, build/release/mica
#     make demo       a small model answers
#     make test       all tests
#     make help       the rest
#
# Missing packages are installed first, where that is possible (scripts/install-deps.sh says which; MICA_NO_INSTALL=1: never).

JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PREFIX ?= /usr/local
export DESTDIR PROMPT

.PHONY: all demo test bench format format-check lint install asan tsan clang fuzz aarch64 aarch64-kernels examples clean help
.DEFAULT_GOAL := all

# $(call build,PRESET,CMAKE OPTIONS,TARGETS)
build = cmake --preset $(1) $(2) >build/$(1).log 2>&1 || { cat build/$(1).log; exit 1; }; \
	cmake --build build/$(1) -j $(JOBS) $(3)

all: ## the program and the libraries, optimized (build/release)
	@scripts/install-deps.sh build
	@mkdir -p build
	@$(call build,release,-DMICA_BUILD_TESTS=OFF)
	@echo "built build/release/mica"

demo: all ## fetches SmolLM2-135M-Instruct once and lets it answer: make demo PROMPT="..."
	@scripts/install-deps.sh demo
	@scripts/demo.sh build/release/mica "$$PROMPT"

test: ## builds and runs every test
	@scripts/install-deps.sh build test
	@mkdir -p build
	@$(call build,release,-DMICA_BUILD_TESTS=ON)
	@ctest --preset release -j $(JOBS)

bench: all ## speed of the demo model on this machine
	@scripts/install-deps.sh demo
	@build/release/mica bench -m "$$(scripts/fetch-model.sh)"

format: ## formats all C as .clang-format says
	@scripts/install-deps.sh check
	@git ls-files '*.c' '*.h' | xargs clang-format -i

format-check: ## fails if `make format` would change something
	@git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror

lint: all ## clang-tidy, cppcheck and mypy, quick checks
	@scripts/install-deps.sh check
	@scripts/lint.sh build/release

asan tsan: ## tests with address and undefined, or thread sanitizers: make tsan TESTS=regex
	@scripts/install-deps.sh build test
	@mkdir -p build
	@$(call build,$@)
	@ctest --preset $@ -j $(JOBS) $(if $(TESTS),-R '$(TESTS)')

clang: ## build with clang, warnings are errors
	@scripts/install-deps.sh build test check
	@mkdir -p build
	@$(call build,$@)

fuzz: ## fuzzers: stored corpora, then SECONDS (60) of new inputs each
	@scripts/install-deps.sh build check
	@mkdir -p build
	@$(call build,$@)
	@scripts/fuzz-replay.sh build/fuzz $(or $(SECONDS),60)

aarch64: ## cross build for 64-bit ARM and its tests under qemu
	@scripts/install-deps.sh build test cross
	@mkdir -p build
	@$(call build,$@)
	@ctest --preset $@ -j $(JOBS) -E '^(cli|house)/'

aarch64-kernels: ## of those, the tests of the kernels alone
	@scripts/install-deps.sh build test cross
	@mkdir -p build
	@$(call build,aarch64,,--target $(notdir $(basename $(wildcard tests/backend/test_*.c))))
	@ctest --preset aarch64 -j $(JOBS) -R '^backend/'

install: all ## PREFIX=/usr/local DESTDIR=
	@cmake --install build/release --prefix "$(PREFIX)"

clean: ## removes build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z0-9 -]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 20

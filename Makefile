# A thin wrapper around Meson. `make help` lists the targets.
BUILD := build
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 30

.PHONY: all build deps check check-unit check-boot demo bench fuzz asan clang install format tidy clean help

all: build ## build everything into build/

# Its output only if it fails: compilers' warnings are errors, and a static glibc always warns.
ninja = ninja -C $(1) --quiet >$(1)/ninja.log 2>&1 || { cat $(1)/ninja.log; exit 1; }

# What is to be done with what is built: all, or demo.
PURPOSE := all

deps:
	@tools/install-deps $(PURPOSE)

$(BUILD)/build.ninja: | deps
	@meson setup $(BUILD) --prefix $(PREFIX) >$(BUILD)-setup.log 2>&1 || { cat $(BUILD)-setup.log; rm -f $(BUILD)-setup.log; exit 1; }
	@rm -f $(BUILD)-setup.log

# A PREFIX that is given holds, whatever the folder was made with.
ifneq ($(origin PREFIX),file)
set-prefix = meson configure $(BUILD) --prefix $(PREFIX)
endif

build: deps $(BUILD)/build.ninja
	@$(set-prefix)
	@$(call ninja,$(BUILD))

demo: PURPOSE := demo
demo: build ## the main job on a real Debian guest: encrypt, boot, attest, unlock, and one refusal
	@demo/demo

check: build ## all tests: unit, functional, sanitizers, real boots
	@tests/run all

check-unit: build ## unit and functional tests only: no boots
	@tests/run unit functional

check-boot: build ## only the boots
	@tests/run e2e

bench: build ## figures, as ratios to peers measured in the same run
	@tests/bench/bench

asan: deps ## unit tests and the broker under ASan and UBSan
	@tests/run asan asan-broker

fuzz: deps ## every parser: its corpus, then FUZZ_SECONDS seconds beyond it
	@[ -f $(BUILD)-fuzz/build.ninja ] || CC=clang meson setup $(BUILD)-fuzz -Dfuzz=true \
		-Db_sanitize=address,undefined -Db_lundef=false -Dbuildtype=debugoptimized >/dev/null
	@$(call ninja,$(BUILD)-fuzz)
	@tools/fuzz $(BUILD)-fuzz $(FUZZ_SECONDS)

clang: deps ## build with clang
	@[ -f $(BUILD)-clang/build.ninja ] || CC=clang meson setup $(BUILD)-clang >/dev/null
	@$(call ninja,$(BUILD)-clang)

install: build ## into PREFIX (/usr/local), honouring DESTDIR
	@meson install -C $(BUILD)

format: ## clang-format in place
	@git ls-files '*.c' '*.h' | xargs clang-format -i

tidy: $(BUILD)/build.ninja ## clang-tidy over src
	@git ls-files 'src/*.c' | xargs -P2 -n8 clang-tidy -p $(BUILD) --quiet

clean: ## remove everything that was built
	@rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-clang $(BUILD)-fuzz

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

# A thin front of CMake and CTest: `make help` says what there is.

JOBS ?= $(shell nproc)
WERROR ?= OFF
FUZZ_SECONDS ?= 600
SOAK_ROUNDS ?= 50
BENCH_COUNT ?= 2000
BENCH_DEVICES ?= 1000000
BENCH_BATCH ?= 1000000

BUILD = build
ASAN = build/asan
CTEST = ctest --output-on-failure --no-label-summary -j $(JOBS) --timeout 600

.DEFAULT_GOAL = build
.PHONY: build help setup demo test asan test-asan bench fuzz soak lint size clean

build: ## build/stamp and everything else (after `make setup`)
	@command -v cmake > /dev/null || { echo "no cmake here; try: make setup" >&2; exit 1; }
	@cmake --preset dev -DSTAMP_WERROR=$(WERROR) > /dev/null
	@cmake --build $(BUILD) --parallel $(JOBS)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## install what the build needs on Debian 12
	@scripts/setup

demo: setup ## from nothing to a board that proves who it is, step by step
	@$(MAKE) --no-print-directory build
	@scripts/demo

# The sanitizers come first, so that the last lines are the summary of the whole suite.
test: setup ## build and run every test, some again under the sanitizers
	@$(MAKE) --no-print-directory build asan
	$(CTEST) --preset asan
	$(CTEST) --preset dev

asan:
	@cmake --preset asan -DSTAMP_WERROR=$(WERROR) > /dev/null
	@cmake --build $(ASAN) --parallel $(JOBS)

test-asan: asan ## the whole suite under AddressSanitizer and UBSan
	$(CTEST) --preset asan-all

bench: build ## stamps per second: ours, the crypto alone, and a script of openssl commands
	@scripts/bench $(BENCH_COUNT) $(BENCH_DEVICES) $(BENCH_BATCH)

fuzz: asan ## FUZZ_SECONDS=600 of fuzzing for each target
	@scripts/fuzz $(FUZZ_SECONDS)

soak: build ## every second power cut, then SOAK_ROUNDS=50 rounds of the power-fail and flow tests
	$(BUILD)/test/powerfail_test --long
	STAMP_LONG=1 $(BUILD)/test/strike_test
	STAMP_KILLS=200 test/flow/batch_kill_next_test.sh $(BUILD)
	STAMP_KILLS=200 test/flow/batch_kill_create_test.sh $(BUILD)
	STAMP_KILLS=200 test/flow/batch_kill_import_test.sh $(BUILD)
	STAMP_KILLS=200 test/pg_server.sh test/flow/batch_kill_create_test.sh $(BUILD) postgres
	STAMP_KILLS=200 test/pg_server.sh test/flow/batch_kill_import_test.sh $(BUILD) postgres
	STAMP_KILLS=300 test/flow/station_kill_test.sh $(BUILD)
	STAMP_KILLS=40 test/flow/qemu_station_test.sh $(BUILD)
	STAMP_MALFORMED=100000 test/flow/service_attack_test.sh $(BUILD)
	STAMP_KILLS=1000 test/flow/service_kill_test.sh $(BUILD)
	STAMP_KILLS=1000 test/pg_server.sh test/flow/service_kill_test.sh $(BUILD) postgres
	STAMP_CUTS=100 test/flow/service_rotate_test.sh $(BUILD)
	$(CTEST) --preset dev -L '^(powerfail|flow)$$' --repeat until-fail:$(SOAK_ROUNDS)

lint: build ## layers, SPEC citations, banned calls, man pages, format, stack, clang-tidy
	@scripts/lint

size: ## what the device library takes on two chips, against its budgets
	@scripts/size

clean: ## remove what was built
	rm -rf build

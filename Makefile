# SPDX-License-Identifier: Apache-2.0
#
# The front door. `make` lists what there is; the work is done by scripts/.

SHELL := /bin/bash
.DEFAULT_GOAL := help
# Lines about folders would follow the object that `make demo ARGS=--json` ends with; under `make
# -C` they need a flag: make -s -C DIR demo ARGS=--json
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:

# Passed on to the program by demo, doctor and bench: make demo ARGS="--json --bytes 256M"
ARGS ?=
MINUTES ?= 1

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

.PHONY: build
build: ## build everything, tests included (debug)
	@scripts/build.sh debug

.PHONY: release
release: ## build devmemctl optimised, the Swift runtime linked in
	@scripts/build.sh release

.PHONY: test
test: ## check, then both tiers of tests
	@$(MAKE) check
	@$(MAKE) test-models
	@$(MAKE) test-host
	@$(MAKE) test-misuse
	@$(MAKE) examples
	@$(MAKE) test-environments
	@$(MAKE) test-storm
	@$(MAKE) test-device
	@scripts/forced-calls.sh

.PHONY: test-host
test-host: ## tests that need neither privileges nor devices
	@scripts/test-host.sh

.PHONY: test-misuse
test-misuse: ## programs that must not compile, each with the diagnostic that is expected
	@scripts/test-misuse.sh

.PHONY: examples
examples: ## the programs of Examples/, built as a user's package and run
	@scripts/examples.sh

.PHONY: test-models
test-models: ## every interleaving of the pool's protocols, and mutations that must fail
	@python3 Tests/Models/life_cycle.py
	@python3 Tests/Models/return_ring.py
	@python3 Tests/Models/shared_pool.py

.PHONY: test-storm
test-storm: ## races and misuse by the thousand, as they are and under AddressSanitizer
	@scripts/test-storm.sh
	@scripts/test-storm.sh address

.PHONY: test-asan
test-asan: ## the storms under AddressSanitizer, ten times the rounds
	@STORM_TIMEOUT=1800 scripts/test-storm.sh address 10

.PHONY: test-tsan
test-tsan: ## storms, allocator and pool under ThreadSanitizer
	@scripts/test-storm.sh thread
	@scripts/test-tsan.sh

.PHONY: soak
soak: ## random operations of everything against a holder map, MINUTES=10; then a million false messages of each kind, and memory that runs out as often
	@MINUTES=$(MINUTES) scripts/soak.sh

.PHONY: test-device
test-device: ## tests on a real /dev/udmabuf, in a virtual machine where there is none
	@scripts/test-device.sh

.PHONY: test-environments
test-environments: ## the tool and the examples without privileges, memory, files, /proc, …; ARGS=--vm for the virtual machine
	@scripts/test-environments.sh $(ARGS)

.PHONY: demo demo-gpu demo-weights doctor bench bench-latency bench-peers bench-wires bench-layouts bench-kernel
demo: ## run the main job; ARGS="--json --bytes 256M" passes arguments
	@scripts/devmemctl.sh demo $(ARGS)
demo-gpu: ## receive into memory that a Vulkan device reads, in a virtual machine; ARGS="--bytes 256M --memory vulkan"
	@scripts/demo-gpu.sh $(ARGS)
demo-weights: ## load a model's weights over device memory TCP into a Vulkan device, in a virtual machine
	@scripts/demo-weights.sh
doctor: ## what this machine lacks for device memory, and how to get it
	@scripts/devmemctl.sh doctor $(ARGS)
bench: ## measure; ARGS="--instructions" counts them too, ARGS=--help says more
	@scripts/bench.sh $(ARGS)
bench-latency: ## tails of the allocation latency while another thread returns
	@scripts/bench.sh latency $(ARGS)
bench-peers: ## measure beside DPDK, jemalloc, mimalloc, glibc; ARGS="--json --instructions"
	@scripts/bench-peers.sh $(ARGS)
bench-wires: ## measure io_uring beside the same loops in C on liburing; ARGS="--json --instructions"
	@scripts/bench-wires.sh $(ARGS)
bench-layouts: ## measure five layouts of host and device records; ARGS="--json --svg FILE"
	@scripts/bench-layouts.sh $(ARGS)
bench-kernel: ## count instructions beside the kernel's page pool benchmark; ARGS=--json
	@scripts/bench-kernel.sh $(ARGS)

.PHONY: check
check: ## every rule of CONTRIBUTING.md, from the format to the instruction budgets
	@scripts/check.sh

.PHONY: shaders
shaders: ## compile the shaders to the SPIR-V that is committed
	@scripts/shaders.sh

.PHONY: fmt
fmt: ## format the sources in place
	@scripts/fmt.sh

.PHONY: docs
docs: ## the documentation of the modules as one site, and the command that shows it
	@scripts/docs.sh

.PHONY: clean
clean: ## remove what was built; downloads stay in the cache (see CONTRIBUTING.md)
	@rm -rf .build .build-tsan .build-asan

# SPDX-License-Identifier: MIT
#
# Everything is built and run inside one pinned Debian tree (tools/vm/snpu-tree),
# so that results do not depend on the machine. Build output goes to build/.

MAKEFLAGS += --no-print-directory
VM := tools/vm
J ?= $(shell nproc)
V ?= 0
NPUS ?= 8

ifeq ($(V),0)
Q := @
else
Q :=
endif

ifdef ACCEL
export SNPU_ACCEL := $(ACCEL)
endif

.DEFAULT_GOAL := help

help:
	@echo 'snpu: an AI supernode that boots on a laptop'
	@echo
	@echo 'See it:'
	@echo '  make demo               8 NPUs in a guest: broadcast, all-reduce, a transformer block'
	@echo '  make demo DIRECT=1      the same program, no guest'
	@echo '  make shell              a shell in a guest with 8 NPUs (NPUS=N for another number)'
	@echo '  make run CMD="..."      build, boot, run CMD in a guest'
	@echo '  make supernode          48 guests x 8 NPUs: all-reduce and all-to-all of 384 ranks (HOSTS=N)'
	@echo
	@echo 'Build it:'
	@echo '  make tree               the pinned Debian tree everything is built and run in'
	@echo '  make build              libsnpu, tools, tests, module: into build/'
	@echo '  make module             snpu.ko only, for the stock kernel (KERNEL=debug: the debug kernel)'
	@echo '  make debug-kernel       the kernel with KASAN, lockdep and more, once (about 7 minutes)'
	@echo '  make install PREFIX=D   library, headers, tools, man pages into D, built with this machine'"'"'s'
	@echo '                          compiler (or DESTDIR=D for prefix /usr; TREE=1: those of the tree)'
	@echo
	@echo 'Test it:'
	@echo '  make check              everything: host tests, sanitizers, guest tests on both kernels'
	@echo '  make check STEPS="..."  some of it; STEPS=list shows the steps'
	@echo '  make bench              figures against their bars (JSON=FILE: as JSON too)'
	@echo '  make checkpatch sparse  kernel style, kernel annotations'
	@echo '  make fuzz               hostile input for snpud, sanitized (SECONDS=60 SEED=N)'
	@echo
	@echo '  make clean              remove build/ (make distclean: the cache too)'
	@echo
	@echo 'V=1 shows the commands; J=N limits parallel jobs; ACCEL=auto|kvm|tcg is how guests run. $(VM)/snpu-vm --help: all about guests.'

tree:
	$(Q)$(VM)/snpu-tree make

debug-kernel:
	$(Q)$(VM)/debug-kernel make >/dev/null

build: host module selftests

host:
	$(Q)$(VM)/build-host -j$(J)

# The same with the sanitizers, for tests only
host-asan:
	$(Q)$(VM)/build-host --asan -j$(J)

module:
	$(Q)$(VM)/build-module $(or $(KERNEL),debian) -j$(J) $(if $(filter 0,$(V)),,V=1)

selftests:
	$(Q)$(VM)/build-selftests -j$(J)

install:
	$(Q)$(VM)/install-host -j$(J) $(if $(TREE),--tree) $(if $(PREFIX),--prefix '$(PREFIX)') \
		$(if $(DESTDIR),--destdir '$(DESTDIR)')

demo: host
ifdef DIRECT
	$(Q)$(VM)/snpu-vm direct --npus $(NPUS) -- build/host/userspace/demo/snpu-demo --transport direct $(ARGS)
else
	$(Q)$(MAKE) module
	$(Q)$(VM)/snpu-vm run --npus $(NPUS) --timeout 600 -- snpu-demo --transport kmd $(ARGS)
endif

shell: build
	$(Q)$(VM)/snpu-vm shell --npus $(NPUS) $(ARGS)

run: build
	$(Q)test -n '$(CMD)' || { echo 'run: say what, as in make run CMD="ls -l /dev/accel"' >&2; exit 2; }
	$(Q)$(VM)/snpu-vm run --npus $(NPUS) $(ARGS) -- sh -c '$(CMD)'

supernode: host module
	$(Q)$(VM)/supernode $(if $(HOSTS),--hosts $(HOSTS)) $(ARGS)

bench: build
	$(Q)tools/snpu-bench/bench.sh $(if $(JSON),--json '$(JSON)') $(ARGS)

check:
	$(Q)$(VM)/check $(STEPS)

checkpatch:
	$(Q)$(VM)/lint checkpatch

sparse:
	$(Q)$(VM)/lint sparse

fuzz: host-asan
	$(Q)$(VM)/fuzz $(or $(SECONDS),60) $(SEED)

clean:
	$(Q)rm -rf build

distclean: clean
	$(Q)$(VM)/snpu-tree purge

.PHONY: help tree debug-kernel build host host-asan module selftests install demo shell run supernode bench check \
	checkpatch sparse fuzz clean distclean

# fmtopx: a PostgreSQL extension, built with PGXS. `make help` lists what can be made.

# DATA=dir names a MovieLens 100k folder for `make demo` and `make test`; PGXS has another use for DATA.
ifeq ($(origin MOVIELENS),undefined)
GIVEN_DATA := $(if $(filter command environment,$(origin DATA)),$(DATA))
ifneq ($(GIVEN_DATA),)
$(if $(wildcard $(GIVEN_DATA)/u.data),,$(error DATA=$(GIVEN_DATA) is not a MovieLens 100k folder: it has no u.data))
endif
MOVIELENS := $(abspath $(or $(GIVEN_DATA),$(wildcard ../shared/data/ml-100k)))
endif
export MOVIELENS

EXTENSION = fmtopx
MODULE_big = fmtopx
override DATA = $(wildcard sql/fmtopx--*.sql)
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c src/core/*/*.c)))

REGRESS = $(filter-out fmtopx--%,$(sort $(patsubst sql/%.sql,%,$(wildcard sql/*.sql))))
REGRESS_OPTS = --inputdir=.

PG_CPPFLAGS = -I$(srcdir)/src -DFM_OPENBLAS='"$(or $(BLAS_NAME),libopenblas.so.0)"'
PG_CFLAGS = -MMD -MP -std=gnu11 -O3 -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Wno-declaration-after-statement
SHLIB_LINK = -lm -ldl -lz $(BLAS_RPATH)

# One thread per backend: the single-threaded build of OpenBLAS where the system has it. The extension loads it
# when it trains (src/pg/openblas.c), by the name that its header gives.
BLAS_DIR := $(shell pkg-config --variable=libdir openblas 2>/dev/null)
BLAS_RPATH = $(if $(BLAS_DIR),-Wl$(comma)-rpath$(comma)$(BLAS_DIR))
BLAS_LIBS = $(if $(BLAS_DIR),-L$(BLAS_DIR)) $(BLAS_RPATH) -lopenblas
BLAS_NAME := $(shell objdump -p $(BLAS_DIR)/libopenblas.so 2>/dev/null | sed -n 's/^ *SONAME *//p')
comma := ,

EXTRA_CLEAN = build results $(OBJS:.o=.d)

PG_CONFIG ?= pg_config
export PG_CONFIG
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
# JIT bitcode would gain nothing here (no expression of ours is worth inlining) and lose per-file flags.
override with_llvm = no
ifneq ($(wildcard $(PGXS)),)
include $(PGXS)
else
all install installcheck clean:
	@echo "$(PG_CONFIG) names no PostgreSQL to build against; 'make setup' installs one" >&2; exit 1
endif

# The targets below work on a machine that has nothing yet: they set it up first and then call make
# again, which then finds PGXS. That make uses all processors unless -j says otherwise.
JOBS = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null || echo 1))

.PHONY: demo test check-asan check-valgrind check-hostile setup hooks core-test core-build lint format help

demo:
	@scripts/setup.sh demo
	@echo 'fmtopx: building the extension'
	@$(MAKE) --no-print-directory -s $(JOBS) all
	@echo 'fmtopx: creating a throwaway cluster for the demo'
	@scripts/with-cluster.sh demo/run.sh $(or $(EXAMPLE),$(if $(GIVEN_DATA),movielens,planted))

test:
	@scripts/setup.sh test
	@echo 'fmtopx: building the extension and the tests of its core'
	@$(MAKE) --no-print-directory -s $(JOBS) all core-build
	@echo 'fmtopx: running the tests in a throwaway cluster'
	@CORE_TESTS='$(CORE_TESTS)' scripts/with-cluster.sh test/run.sh $(TESTS)

setup:
	@scripts/setup.sh test

# The core without PostgreSQL, under sanitizers: every test_*.c below test/core is a program that prints TAP, linked
# with the helpers in test/core/support.
CORE_TESTS = $(patsubst test/core/%.c,build/core/%,$(sort $(wildcard test/core/test_*.c test/core/*/test_*.c)))
CORE_OBJS = $(patsubst src/core/%.c,build/core/%.o,$(sort $(wildcard src/core/*.c src/core/*/*.c)))
CORE_SUPPORT_OBJS = $(patsubst test/core/%.c,build/core/%.o,$(sort $(wildcard test/core/support/*.c)))
CORE_CFLAGS = -MMD -MP -std=gnu11 -O2 -g -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -Isrc -Itest/core

core-test: core-build
	@prove -e '' $(CORE_TESTS)

core-build: $(CORE_TESTS)

build/core/%.o: src/core/%.c
	@mkdir -p $(@D)
	$(CC) $(CORE_CFLAGS) -c -o $@ $<

build/core/support/%.o: test/core/support/%.c
	@mkdir -p $(@D)
	$(CC) $(CORE_CFLAGS) -c -o $@ $<

$(CORE_TESTS): build/core/%: test/core/%.c $(CORE_OBJS) $(CORE_SUPPORT_OBJS)
	@mkdir -p $(@D)
	$(CC) $(CORE_CFLAGS) -o $@ $< $(CORE_OBJS) $(CORE_SUPPORT_OBJS) -lm -lpthread -lz $(BLAS_LIBS)

# Which headers each object was made from, as the compiler wrote it down.
-include $(OBJS:.o=.d) $(CORE_OBJS:.o=.d) $(CORE_SUPPORT_OBJS:.o=.d) $(CORE_TESTS:=.d)

# The suite, hostile statements among it, in a server that reports wrong uses of memory; and more of these.
check-asan check-valgrind:
	@scripts/setup.sh test
	@scripts/sanitized.sh $(@:check-%=%) $(TESTS)

check-hostile:
	@HOSTILE_STATEMENTS=$${HOSTILE_STATEMENTS:-200000} HOSTILE_VALUES=$${HOSTILE_VALUES:-5000} \
		HOSTILE_HISTORIES=$${HOSTILE_HISTORIES:-1000} $(MAKE) --no-print-directory -s test \
		TESTS='test/hostile/statements.pl test/hostile/values.pl test/hostile/histories.pl'

hooks:
	@scripts/setup.sh lint
	git config core.hooksPath .githooks

lint:
	@scripts/setup.sh lint
	@scripts/lint.sh

format:
	@scripts/setup.sh lint
	clang-format -i $(wildcard src/*.[ch] src/*/*.[ch] src/core/*/*.[ch] test/core/*.[ch] \
		test/core/*/*.[ch])

help:
	@echo 'make demo       set up, build, train on made-up ratings, print recommendations'
	@echo '                (DATA=dir: on the MovieLens 100k folder dir; EXAMPLE=films, shop or news:'
	@echo '                that of docs/examples)'
	@echo 'make test       set up, build, run every test (DATA=dir: where MovieLens 100k is;'
	@echo '                TESTS="test/pages/sql.pl …": only these)'
	@echo 'make            build'
	@echo 'make install    install into the PostgreSQL that PG_CONFIG names'
	@echo 'make core-test  only the tests of the C core, which need no PostgreSQL'
	@echo 'make check-asan, make check-valgrind'
	@echo '                the tests in a server built with sanitizers, or under valgrind'
	@echo 'make check-hostile'
	@echo '                200,000 hostile statements, 5,000 mangled values, 1,000 histories'
	@echo 'make lint       formatting, lengths, layers, warnings of gcc and clang, cppcheck, shellcheck'
	@echo 'make format     format the C code'
	@echo 'make hooks      check each commit of this clone (.githooks)'
	@echo 'make setup      only install what the build and the tests need'

# fmtopx: a PostgreSQL extension, built with PGXS.
#
#   make demo     set everything up, train on made-up ratings, print recommendations
#   make test     set everything up and run every test
#   make install  build and install into the PostgreSQL that PG_CONFIG names

EXTENSION = fmtopx
MODULE_big = fmtopx
DATA = $(wildcard sql/fmtopx--*.sql)
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/core/*.c)))

PG_CPPFLAGS = -I$(srcdir)/src
PG_CFLAGS = -std=gnu11 -O3 -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Wno-declaration-after-statement
SHLIB_LINK = -lm $(BLAS_LIBS)

# One thread per backend: link the single-threaded build of OpenBLAS where the system has it.
BLAS_DIR := $(shell pkg-config --variable=libdir openblas 2>/dev/null)
BLAS_LIBS = $(if $(BLAS_DIR),-L$(BLAS_DIR) -Wl$(comma)-rpath$(comma)$(BLAS_DIR)) -lopenblas
comma := ,

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
# JIT bitcode would gain nothing here (no expression of ours is worth inlining) and lose per-file flags.
override with_llvm = no
include $(PGXS)

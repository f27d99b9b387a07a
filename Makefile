# What each target needs is installed first on Debian and Ubuntu; the README lists the plain cargo commands.

CARGO ?= cargo
CARGO_TEST_FLAGS ?=
DEMO_FLAGS ?=
BENCH_FLAGS ?=

# Which kernels were tested on which adapter in which configuration; a path that no test's folder changes.
TABLE := $(CURDIR)/out/tests.txt

.PHONY: help demo test test-long lint bench clean

help:
	@echo 'make demo       train the default density model; pictures and figures in out/demo  (DEMO_FLAGS)'
	@echo 'make test       all tests on lavapipe and SwiftShader                              (CARGO_TEST_FLAGS)'
	@echo 'make test-long  the same and the tests marked as long'
	@echo 'make lint       formatting, clippy, documentation, spelling, workflow files, the package'
	@echo 'make bench      the benchmark on the default adapter; figures in out/bench.json    (BENCH_FLAGS)'
	@echo 'make clean      remove target/, out/, .adapters/ and .tools/'

demo:
	@scripts/adapters.sh need tools driver
	XDG_RUNTIME_DIR=$${XDG_RUNTIME_DIR:-$$(mktemp -d)} \
	    $(CARGO) run --locked --release --example rnce_density -- --out out/demo $(DEMO_FLAGS)
	@echo 'The picture: out/demo/density.png'

# On Debian 12 a part of the kernel tests runs on lavapipe of Mesa 25 as well; GIBBS_TEST_ALL=1 runs all of them there.
# Examples have no tests; `make lint` compiles them. Documentation cannot be named beside other targets.
test:
	@scripts/adapters.sh need tools lavapipe lavapipe-25 swiftshader
	@mkdir -p out; rm -f $(TABLE); status=0; \
	for targets in '--lib --tests' --doc; do \
	    GIBBS_TEST_TABLE=$(TABLE) scripts/adapters.sh run \
	        $(CARGO) test --locked --release --workspace $$targets $(CARGO_TEST_FLAGS) || status=$$?; \
	done; \
	if [ -f $(TABLE) ]; then echo; cat $(TABLE); fi; exit $$status

test-long:
	@$(MAKE) test CARGO_TEST_FLAGS='$(CARGO_TEST_FLAGS) -- --include-ignored'

lint:
	@scripts/lint_tools.sh need
	$(CARGO) fmt --all --check
	@scripts/lint_tools.sh typos
	@scripts/lint_tools.sh workflows
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --workspace
	@scripts/package.sh

bench:
	@scripts/adapters.sh need tools driver
	@mkdir -p out
	$(CARGO) run --locked --release --example bench -- --json out/bench.json $(BENCH_FLAGS)

clean:
	$(CARGO) clean
	rm -rf out .adapters .tools

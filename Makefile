# Everything works with Go alone; `make lab` and `make check` say what else they need.
export CGO_ENABLED := 0
GO ?= go
FUZZTIME ?= 30s

.PHONY: all build demo test race check lab lab-discovery bench bench-discovery fuzz golden install

all: build test

build:
	$(GO) build -trimpath -ldflags='-s -w' -o relaysweep ./cmd/relaysweep

demo: build
	./relaysweep demo

test:
	$(GO) test -shuffle=on $(TESTFLAGS) ./...

race:
	CGO_ENABLED=1 $(GO) test -race -shuffle=on ./...

check:
	$(GO) vet ./...
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt -w on these'; exit 1; }
	$(GO) tool -modfile=.ci/tools.mod staticcheck ./...
	@test -z "$$($(GO) tool -modfile=.ci/tools.mod gofumpt -l .)" || { $(GO) tool -modfile=.ci/tools.mod gofumpt -l .; echo 'run gofumpt -w on these'; exit 1; }

# Real mail servers in network namespaces; needs root and Debian.
lab: build
	@command -v python3 >/dev/null || apt-get install -y -q python3
	python3 cmd/relaysweep/lab/lab.py run ./relaysweep

# Discovery against known states in network namespaces; bench-discovery measures it beside masscan, zmap and nmap.
lab-discovery: build
	@command -v python3 >/dev/null || apt-get install -y -q python3
	python3 cmd/relaysweep/lab/discovery.py check ./relaysweep

bench-discovery: build
	@command -v python3 >/dev/null || apt-get install -y -q python3
	python3 cmd/relaysweep/lab/discovery.py bench ./relaysweep

bench:
	$(GO) test -run='^$$' -bench=. -benchtime=1x ./...

# Go reports a worker that is still busy at the end of FUZZTIME as a failure, at times; so each is tried twice. An input
# that fails is stored at the first try, and fails the second. A package is built once for all its targets.
fuzz:
	@set -e; dir=$$(mktemp -d); trap 'rm -rf '$$dir EXIT; for p in $$(grep -rlE '^func Fuzz' --include=*_test.go . | xargs -n1 dirname | sort -u); do \
	  $(GO) test -c -fuzz=. -o $$dir/test $$p; for n in $$(cat $$p/*_test.go | grep -oE '^func Fuzz[A-Za-z0-9]+' | cut -c6- | grep -vx '$(SKIP)'); do echo $$p $$n; for try in 1 2; do \
	  (cd $$p && $$dir/test -test.run='^$$' -test.fuzz="^$$n$$" -test.fuzztime=$(FUZZTIME) -test.fuzzminimizetime=10x -test.fuzzcachedir=$$($(GO) env GOCACHE)/fuzz/relaysweep/$$p) && break || [ $$try = 1 ] || exit 1; done; done; done

golden:
	$(GO) test ./report -update

install:
	$(GO) install -trimpath -ldflags='-s -w' ./cmd/relaysweep

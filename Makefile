# make demo     a server, a simulated device and some orders, on loopback
# make test     everything that must hold, in about a quarter of an hour on two cores
# make interop  devices on JSON-RPC libraries of others, which npm and the Go proxy give, conversations in bin/_artifacts; a real Prometheus
# make check    what must hold before a commit: format, vet, staticcheck, test, mutants, tidy
# make soak     the same tests many times over, and every fuzz target for a while
# make bench    all benchmarks, in the form that benchstat compares; x-floor is the ratio to what any server would cost
# make fleet    what is promised of 18,000 devices on one small machine, three quarters of an hour; FLEET=Killed, say, one part of it
# make memory-bench  the memory of 15,000 connections, idle and after five minutes, beside a bare echo's
# make build    static binaries in bin/

SHELL     := bash
.SHELLFLAGS := -eu -o pipefail -c
GO        ?= go
# A package that takes longer than this hangs.
TIMEOUT   ?= 14m
FUZZTIME  ?= 60s
SOAKCOUNT ?= 10
BENCH     ?= .
FLEET     ?= .
COUNT     ?= 6
# Tests that are built without the race detector only.
ALONE     := TestClients(Own|Conform|Broken)|AgentConforms|T15_Memory|T17_EventReaders|T27_ParkedOrderCalls|ConnectsAndCloses|ManySessions|T10_OnTheWire
# Where Debian keeps what its python3 imports.
PYTHON    := /usr/lib/python3/dist-packages

.PHONY: demo test interop check soak bench fleet memory-bench build needs vet format staticcheck race whole alone mutants tidy fuzz

demo:
	$(GO) run ./cmd/tether demo

test: needs vet race whole alone

check: format vet staticcheck test mutants tidy

needs:
	@.ci/needs

vet:
	$(GO) vet ./...

format:
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "not formatted:" $$files; exit 1; fi

staticcheck:
	$(GO) tool staticcheck ./...
	$(GO) tool staticcheck -tags interop,fleet ./cmd/tether

tidy:
	$(GO) mod tidy -diff

# SQLite itself, which is a C program in Go, runs half as fast under the race detector, and
# has nothing for it to find: what it shares it locks in the library below, which is watched.
RACE      := -race -gcflags=modernc.org/sqlite/lib=-race=false

# Most tests wait for something: more of them at once than there are cores.
# On two processors the race detector may crash in a bubble of synctest: a goroutine that
# finds a channel's timer due runs it in the bubble's own context, which another may use
# at that moment (go.dev/issue/78156).
race:
	@$(GO) test $(RACE) -cpu 1 -v -p 3 -parallel 4 -timeout $(TIMEOUT) ./... 2>&1 | awk -f .ci/report.awk

# What is short under the race detector is run whole without it, and what cannot be short.
whole:
	@$(GO) test -run 'AllSequences|SimulatedOrders|F28_DownTenMinutes' -v -timeout $(TIMEOUT) ./session ./store | awk -f .ci/report.awk

# What weighs memory, and what holds programs of other languages to real times, has the machine
# for itself: no race detector, which holds several words for each one, and no package beside it.
alone:
	@$(GO) test -run '$(ALONE)' -v -parallel 8 -timeout $(TIMEOUT) ./cmd/tether | awk -f .ci/report.awk

interop: needs
	@.ci/needs "node nodejs" "npm npm" "prometheus prometheus" "$(PYTHON)/aiohttp python3-aiohttp" "$(PYTHON)/websockets python3-websockets"
	$(GO) vet -tags interop ./cmd/tether
	@rm -rf bin/_artifacts && mkdir -p bin
	@$(GO) test $(RACE) -tags interop -run Interop -v -timeout $(TIMEOUT) -artifacts -outputdir $(CURDIR)/bin ./cmd/tether | awk -f .ci/report.awk

# Small faults put into the core on purpose, each of which the sequences and the simulation must catch.
mutants:
	@$(GO) test -tags mutants -parallel 2 -run Mutants -v -timeout $(TIMEOUT) ./session | awk -f .ci/report.awk

# Tests that can do more when there is time for it read TETHER_SOAK.
soak: needs fuzz
	@TETHER_SOAK=1 $(GO) test $(RACE) -cpu 1 -v -count $(SOAKCOUNT) -timeout 12h ./... 2>&1 | awk -f .ci/report.awk

fuzz:
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "== $$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

bench:
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -timeout 2h ./...

fleet:
	$(GO) test -tags fleet -run 'TestFleet/($(FLEET))' -v -timeout 3h ./cmd/tether

memory-bench:
	$(GO) test -run '^$$' -bench Memory -benchtime 1x -timeout 1h ./cmd/tether -args -sockets 15000 -cadence 5m

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/ ./cmd/...

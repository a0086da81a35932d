# Targets for people who build, try and change receptor. Nothing here reaches
# for the network, apart from what the go command fetches on the first build.

GO       ?= go
BIN      := bin
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS  := -s -w $(if $(VERSION),-X main.release=$(VERSION))
IMAGE    ?= receptor:local
FUZZTIME ?= 10s
SOAK     ?= 2m
ATTACK   ?= 1m

export CGO_ENABLED ?= 0

.PHONY: all build man demo image compose-check test check vulncheck fuzz e2e soak attack interop bench cross clean

all: build

build: ## both programs into bin/
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

man: ## manual pages of both programs into bin/man/
	@mkdir -p $(BIN)/man
	$(GO) test -count=1 -run '^TestManPages$$' ./cmd/receptor ./cmd/receptorctl -args -man $(CURDIR)/$(BIN)/man

demo: build ## three daemons on loopback run work for each other
	sh demo/demo.sh $(BIN)

image: build ## the image of one node, IMAGE=receptor:local, for the scenes in compose/; nothing is pulled
	sh compose/image/build.sh $(BIN) $(IMAGE)

compose-check: build ## the scenes of compose/ come up in containers, hold, and go; skipped without a Docker engine
	sh compose/check.sh $(BIN)

test: ## unit tests, with the race detector
	CGO_ENABLED=1 $(GO) test -race -shuffle=on ./...

check: ## what must hold before a change is merged, besides the tests
	@fmt=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$fmt" ] || { echo "gofmt would change:"; echo "$$fmt"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags e2e,soak,interop,bench,attack ./test/...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff

vulncheck: ## known vulnerabilities of what is used; passes where the list of them cannot be had
	sh test/vulncheck.sh

fuzz: ## each fuzz target for FUZZTIME
	sh test/fuzz.sh $(FUZZTIME)

e2e: ## real daemons, real failures
	$(GO) test -tags e2e -count=1 -timeout 15m ./test/e2e/...

soak: ## a mesh that is broken at random for SOAK; SEED=number repeats the decisions of a run
	SOAK=$(SOAK) $(GO) test -tags soak -count=1 -timeout 0 -v ./test/soak/

attack: ## hostile input to a real daemon for ATTACK; SEED=number repeats it, ONLY=name,... takes some attacks
	ATTACK=$(ATTACK) $(GO) test -tags attack -count=1 -timeout 0 -v ./test/attack/

interop: ## the same with an ansible/receptor binary in every role: RECEPTOR_PEER=path make interop
	$(GO) test -tags interop -count=1 -timeout 30m ./test/interop/...

bench: ## benchmarks of the packages, then of whole daemons
	$(GO) test -run '^$$' -bench . -benchmem ./internal/...
	$(GO) test -tags bench -run '^$$' -bench . -benchtime 1x ./test/bench/...

cross: ## the programs build for every system that we name, and go vet is content there
	@for t in linux/amd64 linux/arm64 darwin/arm64 windows/amd64; do \
		echo "build $$t"; \
		GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -o /dev/null ./cmd/receptor || exit 1; \
		GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -o /dev/null ./cmd/receptorctl || exit 1; \
		GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) vet ./... || exit 1; \
	done

clean:
	rm -rf $(BIN)

# `make` alone lists the targets: what stands behind `##`.
.DEFAULT_GOAL := help
.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The cluster and its registry; e2e/cluster/README.md has the environment variables.
.PHONY: cluster cluster-down node-image registry registry-down
cluster: ## Start the test cluster (kind), or repair what is left of one
	@e2e/cluster/up

cluster-down: ## Remove the cluster, the registry and all that they left on the machine
	@e2e/cluster/down

node-image: ## Build kind's node image from Go modules and Debian packages
	@e2e/node-image/build

registry: cluster ## Start the registry that host, nodes and pods share
	@e2e/registry/up

registry-down: ## Stop the registry and remove its data
	@e2e/registry/down

# What a stranger runs.
.PHONY: demo demo-multi test fresh image
demo: ## The main job, to be watched: publish, gate, promote to prod, read the record back
	@examples/demo/run

demo-multi: ## Two registries: a signed artifact in both, and one that goes away and comes back
	@examples/demo-multi/run

test: check chart-lint registries rig e2e ## Run every test, unit to end-to-end

fresh: ## Prove demo and test on a machine without caches: new home, new clone, own cluster (about an hour)
	@e2e/fresh

image: ## Build the operator's image as an archive, and print its path
	@e2e/images/floe

# What is checked without a cluster, by the names that CI uses.
.PHONY: check fmt-check clippy unit crds docs config
check: fmt-check clippy unit ## Run all that needs no cluster, in about three minutes

fmt-check:
	@cargo fmt --all --check

clippy:
	@nice cargo clippy --workspace --all-targets --locked -- -D warnings
	@nice cargo clippy --test e2e --test rig --test registries --locked -- -D warnings

unit:
	@nice cargo test --workspace --locked

crds: ## Write crds/ from the API types
	@UPDATE=1 cargo test --locked --test crds

docs: ## Write docs/reference/ from the API types and the command line
	@UPDATE=1 cargo test --locked --test docs

config: ## Write config/ from the chart
	@config/generate

# What needs more: tools (e2e/tools builds them), or the cluster.
.PHONY: chart-lint registries rig seeded-bugs mutants fuzz bench-registry e2e
chart-lint: ## Check the chart, and that config/ is the same
	@e2e/chart-lint

registries: ## Real registries, and real cosign, crane, regctl, skopeo and helm as witnesses
	@e2e/registries/run

rig: ## Count, cut, fail and crash: the operator against etcd, API server and registries alone
	@e2e/rig/run

seeded-bugs: ## Plant bugs, one at a time: the test that each names must fail
	@e2e/seeded-bugs/run

mutants: ## Change the rules a little: a test must notice (an hour)
	@cargo mutants --in-place

fuzz: ## Give the readers of reports and summaries bytes that nobody has thought of (needs cargo-fuzz)
	@gate/fuzz/run

bench-registry: ## Measure floe registry beside crane, regctl and skopeo: docs/benchmarks.md
	@e2e/bench/run

e2e: ## Run the tests on real Pods
	@e2e/run

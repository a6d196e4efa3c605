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

# What is checked without a cluster, by the names that CI uses.
.PHONY: check fmt-check clippy unit crds docs
check: fmt-check clippy unit ## Run all that needs no cluster

fmt-check:
	@cargo fmt --all --check

clippy:
	@cargo clippy --workspace --all-targets --locked -- -D warnings

unit:
	@cargo test --workspace --locked

crds: ## Write crds/ from the API types
	@UPDATE=1 cargo test --locked --test crds

docs: ## Write docs/reference/ from the API types and the command line
	@UPDATE=1 cargo test --locked --test docs

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

.PHONY: docs
docs: ## Write docs/reference from the code
	@UPDATE=1 cargo test --quiet --test docs

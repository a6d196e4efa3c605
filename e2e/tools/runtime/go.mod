module floe.dev/e2e/tools/runtime

go 1.26.0

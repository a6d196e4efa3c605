# The operator's image. Nothing is compiled in here: `rootfs/` in the build context holds the two binaries,
# the libraries that they need and the CA bundle (e2e/images/floe-image lays it out and builds with buildah).
# With docker: the same context, or a base of your own that has glibc and CA certificates:
#   docker build --file Dockerfile --build-arg BASE=... CONTEXT
ARG BASE=scratch
FROM ${BASE}
COPY rootfs/ /
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/floe"]

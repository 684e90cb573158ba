# The image holds one static binary, the certificates it trusts and nothing else.
# docs/container.md is about it.
#
#   docker build --build-arg VERSION=$(git describe --tags --always) -t walherald .
#   docker run -v ./config.yml:/app/config.yml:ro walherald
#
# Go compiles for the other platform by itself, so nothing is emulated:
#
#   docker buildx build --platform linux/amd64,linux/arm64 ...

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
# Where modules come from, if not from where Go looks by itself.
ARG GOPROXY
ARG GOSUMDB
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# An empty folder for whoever runs the embedded JetStream server: mount a volume
# over it and set publisher.embedded.storeDir to /data.
RUN mkdir -p /out/data
ARG VERSION=devel
ARG TARGETOS
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -buildvcs=false -trimpath \
    -ldflags "-s -w -X main.version=${VERSION}" -o /out/walherald ./cmd/walherald

FROM scratch
ARG VERSION=devel
ARG REVISION=unknown
LABEL org.opencontainers.image.title="walherald" \
      org.opencontainers.image.description="Heralds every committed change of a PostgreSQL database" \
      org.opencontainers.image.source="https://github.com/walherald/walherald" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY LICENSE /LICENSE
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/walherald /walherald
COPY --from=build --chown=65532:65532 /out/data /data
WORKDIR /app
USER 65532:65532
# Probes (listener.serverPort) and metrics (monitoring.promAddr), as in
# config_example.yml. The page (monitoring.address) is on loopback unless told
# otherwise.
EXPOSE 8080 2112
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 \
    CMD ["/walherald", "healthcheck", "-c", "config.yml"]
ENTRYPOINT ["/walherald"]
CMD ["-c", "config.yml"]

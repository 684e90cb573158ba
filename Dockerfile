# The image holds one static binary, the certificates it trusts and nothing else.
#
#   docker build --build-arg VERSION=$(git describe --tags --always) -t walherald .
#   docker run -v ./config.yml:/app/config.yml:ro walherald

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -buildvcs=false -trimpath -tags timetzdata \
    -ldflags "-s -w -X main.version=${VERSION}" -o /out/walherald ./cmd/walherald
# An empty folder for whoever runs the embedded JetStream server: mount a volume
# over it and set publisher.embedded.storeDir to /data.
RUN mkdir /out/data

# The time zones are in the binary (timetzdata).
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/walherald /walherald
COPY --from=build --chown=65532:65532 /out/data /data
WORKDIR /app
USER 65532:65532
# Probes (listener.serverPort) and metrics (monitoring.promAddr), as in
# config_example.yml.
EXPOSE 8080 2112
ENTRYPOINT ["/walherald"]
CMD ["-c", "config.yml"]

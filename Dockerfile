# Two static binaries on an image without a shell, run by nobody in particular.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download && go mod verify
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/ ./cmd/tether ./cmd/tether-agent \
    && mkdir /out/data

FROM gcr.io/distroless/static:nonroot
COPY --from=build /out/tether /out/tether-agent /usr/local/bin/
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
WORKDIR /data
# The database, the received logs and the keys of the server.
VOLUME /data
EXPOSE 9090
ENTRYPOINT ["/usr/local/bin/tether"]
# Beyond loopback the server wants a certificate. To run behind a proxy that
# ends TLS, give "serve --insecure-plaintext" and its other flags instead.
CMD ["serve", "--listen=:9090", "--database=sqlite:/data/tether.db", "--tls-cert=/data/tls.crt", "--tls-key=/data/tls.key"]

# syntax=docker/dockerfile:1

# The Pulumi CLI, at exactly the version of the SDK, from its Go module.
FROM golang:1.26-bookworm AS pulumi
WORKDIR /build
COPY package.json ./
COPY tools/pulumi tools/pulumi
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    version="$(sed -n 's/.*"@pulumi\/pulumi": "\([0-9.]*\)",.*/\1/p' package.json)" \
 && cd tools/pulumi \
 && CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -p 2 -trimpath \
      -ldflags "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v${version}" \
      -o "/out/versions/${version}/bin/pulumi" github.com/pulumi/pulumi/pkg/v3/cmd/pulumi
# Its provider for Google Cloud, at exactly the version of that SDK. On PATH it is found whatever PULUMI_HOME is.
RUN version="$(sed -n 's/.*"@pulumi\/pulumi": "\([0-9.]*\)",.*/\1/p' package.json)" \
 && gcp="$(sed -n 's/.*"@pulumi\/gcp": "\([0-9.]*\)",.*/\1/p' package.json)" \
 && PULUMI_HOME=/tmp/pulumi "/out/versions/${version}/bin/pulumi" plugin install resource gcp "${gcp}" \
 && install -D "/tmp/pulumi/plugins/resource-gcp-v${gcp}/pulumi-resource-gcp" /plugin/pulumi-resource-gcp \
 && rm -rf /tmp/pulumi

# The modules, and with them Node.js 24: the package `node` brings it, whatever this stage starts with.
FROM node:22-bookworm-slim AS modules
WORKDIR /mayfly
COPY package.json package-lock.json .npmrc ./
# The program is linked into node/bin; the package that it came in is not needed again.
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev && rm -rf node_modules/node/node_modules

FROM debian:bookworm-slim
# setpriv comes with util-linux, which Debian always has; curl is for the health check.
RUN apt-get update \
 && apt-get install -y --no-install-recommends bubblewrap ca-certificates curl git tini \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /mayfly
COPY --from=pulumi /out /root/.pulumi
COPY --from=pulumi /plugin/pulumi-resource-gcp /usr/local/bin/
COPY --from=modules /mayfly/node_modules node_modules
COPY . .
ENV PATH=/mayfly/node_modules/.bin:$PATH \
    NODE_ENV=production \
    MAYFLY_DATA_DIR=/var/lib/mayfly
VOLUME /var/lib/mayfly
EXPOSE 3000 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD curl -fsS "http://127.0.0.1:${PORT:-3000}/healthz"
# Mayfly starts as root to give every site, build and embedded database a user of its own that has no rights; nothing of a pull
# request ever runs as root. As another user it works too, with one user for all sites.
ENTRYPOINT ["tini", "--"]
CMD ["node", "scripts/run.mjs", "src/main.ts"]

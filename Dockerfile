# For people with Docker. `make images` builds the same images without it, for both architectures and reproducibly, and is what the tests use. This file was written on a
# machine without a Docker daemon and has not been run there.
#
#   docker build --build-arg COMMAND=lanyard-registry --build-arg VERSION=v0.1.0 -t ghcr.io/lanyard-dev/lanyard-registry:v0.1.0 .
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS TARGETARCH COMMAND VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN mkdir /out && ln -s command /out/$COMMAND # where an image volume shows it: the agent's binary is called lanyard-agent
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
    -ldflags "-s -w -buildid= -X github.com/lanyard-dev/lanyard/internal/version.release=$VERSION" -o /out/command ./cmd/$COMMAND \
    && ln -s command /out/$COMMAND

FROM scratch
COPY --from=build /out/ /
USER 65532:65532
ENTRYPOINT ["/command"]

# A Rust program that links multi-node, `server` being its binary: docker build --build-context multi-node=../multi-node -f rust.Dockerfile .
FROM rust:1-slim-bookworm AS build
# Where Cargo.toml has it, until it is published: path = "../multi-node/crates/multi-node".
COPY --from=multi-node . /multi-node
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin server

FROM debian:bookworm-slim
COPY --from=build /src/target/release/server /server
USER 65532:65532
# The control socket. The rest of the root may be read-only.
ENV XDG_RUNTIME_DIR=/run/app
VOLUME /run/app
EXPOSE 8080
# The exec form: the master is PID 1, and gets SIGTERM. No init is needed.
ENTRYPOINT ["/server"]

# A Python program under `multi-node run`: docker build --build-context multi-node=../multi-node -f python.Dockerfile .
FROM rust:1-slim-bookworm AS command
COPY --from=multi-node . /multi-node
RUN cargo install --locked --path /multi-node/crates/multi-node-cli --root /out

FROM python:3.13-slim-bookworm
COPY --from=command /out/bin/multi-node /usr/local/bin/multi-node
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
USER 65532:65532
ENV XDG_RUNTIME_DIR=/run/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
VOLUME /run/app
EXPOSE 8080
ENTRYPOINT ["multi-node"]
CMD ["run", "-n", "auto", "--port", "8080", "--metrics", ":9100", "--shutdown-delay", "5s", "--", "uvicorn", "--fd", "{fd}", "app:app"]

# ghz with the profiles of benchmarks/ghz. Build from the repository's root:
#   docker build -f docker/load.Dockerfile -t spanqa-load .
ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm
ARG GO_IMAGE=golang:1.25.4-bookworm
FROM ${GO_IMAGE} AS ghz
RUN CGO_ENABLED=0 GOBIN=/out go install github.com/bojand/ghz/cmd/ghz@v0.120.0

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
ARG PIP_INDEX_URL
COPY constraints.txt ./
COPY protos protos
COPY client client
RUN python -m venv /opt/spanqa \
    && /opt/spanqa/bin/pip install --no-cache-dir --constraint constraints.txt ./client

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --no-create-home spanqa
COPY --from=ghz /out/ghz /usr/local/bin/ghz
COPY --from=build /opt/spanqa /opt/spanqa
WORKDIR /spanqa
COPY protos protos
COPY benchmarks/__init__.py benchmarks/
COPY benchmarks/common/squad.py benchmarks/common/workload.py benchmarks/common/
COPY benchmarks/ghz benchmarks/ghz
USER 10001
ENV PATH=/opt/spanqa/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1
HEALTHCHECK NONE
# spanqa is the frontend's name in compose.yaml; a --target that follows wins.
ENTRYPOINT ["python", "-m", "benchmarks.ghz.run", "--target=spanqa:50051", \
    "--payloads=/tmp/payloads.json", "--reports=/tmp/reports"]

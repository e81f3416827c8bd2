# The exporter: checkpoint to model version, then it ends. Build from the repository's root:
#   docker build -f docker/exporter.Dockerfile -t spanqa-exporter .
ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm
FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# An export needs no GPU: an index with a CPU build of torch saves gigabytes.
ARG PIP_INDEX_URL
COPY constraints.txt ./
COPY model model
# The package's configuration files are links into here.
COPY model_repository model_repository
RUN python -m venv /opt/spanqa \
    && /opt/spanqa/bin/pip install --no-cache-dir --constraint constraints.txt ./model

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --no-create-home spanqa \
    && install --directory --owner=10001 /models /cache
COPY --from=build /opt/spanqa /opt/spanqa
USER 10001
ENV PATH=/opt/spanqa/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/cache \
    SPANQA_MODEL_REPOSITORY=/models/repository
HEALTHCHECK NONE
ENTRYPOINT ["spanqa-model"]
CMD ["export", "--help"]

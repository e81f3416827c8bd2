# The frontend: gRPC in, Triton out. No torch. Build from the repository's root:
#   docker build -f docker/frontend.Dockerfile -t spanqa-frontend .
ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm
FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# Another index than pip's own, where there is one: --build-arg PIP_INDEX_URL=...
ARG PIP_INDEX_URL
COPY constraints.txt ./
COPY protos protos
COPY client client
COPY server server
RUN python -m venv /opt/spanqa \
    && /opt/spanqa/bin/pip install --no-cache-dir --constraint constraints.txt ./client ./server

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --no-create-home spanqa
COPY --from=build /opt/spanqa /opt/spanqa
USER 10001
ENV PATH=/opt/spanqa/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    SPANQA_MODEL_REPOSITORY=/models/repository
EXPOSE 50051 9090
HEALTHCHECK --interval=15s --start-interval=2s --timeout=3s --start-period=60s CMD ["spanqa-server", "health"]
ENTRYPOINT ["spanqa-server"]
CMD ["serve"]

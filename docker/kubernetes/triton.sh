#!/bin/sh
# Triton for the frontend alone: health and inference, and nothing else of its API. For compose.yaml
# and for Kubernetes. What follows goes to tritonserver and wins.
set -eu

# The other protocols want a header with this value, which nobody knows.
key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
closed=metadata,model-config,model-repository,shared-memory,statistics,trace,logging

# Spans of the requests that come with a trace context, and of no others, to a collector that takes
# OTLP over HTTP.
if [ -n "${OTLP_ENDPOINT:-}" ]; then
    set -- \
        --trace-config=mode=opentelemetry \
        --trace-config=opentelemetry,url="$OTLP_ENDPOINT/v1/traces" \
        --trace-config=level=TIMESTAMPS \
        --trace-config=rate=0 \
        "$@"
fi

# HTTP is there for health checks from inside the container. Connections end after five minutes,
# so that frontends see Tritons that came later. New model versions are loaded and withdrawn ones
# dropped without a restart; one that is loading or cannot be loaded makes Triton no less ready,
# or a probe would end what serves the others. Frontends ping while they wait for long inferences.
exec tritonserver \
    --model-repository="${MODEL_REPOSITORY:-/models}" \
    --model-control-mode=poll \
    --repository-poll-secs=5 \
    --disable-auto-complete-config \
    --strict-readiness=false \
    --grpc-restricted-protocol="$closed:closed=$key" \
    --grpc-max-connection-age=300000 \
    --grpc-max-connection-age-grace=60000 \
    --grpc-http2-min-recv-ping-interval-without-data=5000 \
    --http-address=127.0.0.1 \
    --http-restricted-api="inference,$closed:closed=$key" \
    --metrics-address=0.0.0.0 \
    --exit-timeout-secs=20 \
    "$@"

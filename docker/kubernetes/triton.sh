#!/bin/sh
# Triton for the frontend alone: health, inference and, over gRPC, statistics; nothing else of its API.
# For compose.yaml and for Kubernetes. What follows goes to tritonserver and wins.
set -eu

# The other protocols want a header with this value, which nobody knows. Over gRPC, model-repository
# tells why a version is not loaded; to load or unload one Triton refuses while it polls. Statistics
# tell the frontend whether a Triton that is late computes for others, or hangs.
key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
closed=metadata,model-config,shared-memory,trace,logging

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

# Triton polls the view, in which `spanqa-server gate` keeps links to the versions that work.
# HTTP is there for health checks from inside the container. Connections end after five minutes,
# so that frontends see Tritons that came later. A version that is loading or cannot be loaded makes
# Triton no less ready and does not end it: a probe or a restart would end what serves the others.
# Frontends ping while they wait for long inferences.
exec tritonserver \
    --model-repository="${MODEL_REPOSITORY:-/view}" \
    --model-control-mode=poll \
    --repository-poll-secs=2 \
    --disable-auto-complete-config \
    --strict-readiness=false \
    --exit-on-error=false \
    --grpc-restricted-protocol="$closed:closed=$key" \
    --grpc-max-connection-age=300000 \
    --grpc-max-connection-age-grace=60000 \
    --grpc-http2-min-recv-ping-interval-without-data=5000 \
    --http-address=127.0.0.1 \
    --http-restricted-api="inference,model-repository,statistics,$closed:closed=$key" \
    --metrics-address=0.0.0.0 \
    --exit-timeout-secs=20 \
    "$@"

#!/bin/sh
# Generate the Python stubs of protos/ into the directory $1. Needs `make setup`.
set -eu
bin=.venv/bin
$bin/python -W ignore -m grpc_tools.protoc -Iprotos \
    --plugin=protoc-gen-mypy=$bin/protoc-gen-mypy \
    --plugin=protoc-gen-mypy_grpc=$bin/protoc-gen-mypy_grpc \
    --python_out="$1" --grpc_python_out="$1" \
    --mypy_out=quiet:"$1" --mypy_grpc_out=quiet:"$1" \
    spanqa/v1/question_answering.proto

#!/bin/sh
# buf lint and build, buf breaking against the last release, google/rpc and the committed stubs.
set -eu
bin=.venv/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

$bin/buf lint protos
$bin/buf build protos -o "$work/now.binpb"
echo "buf lint, buf build: clean"

release=$(ls protos/releases | sort -V | tail -1)
$bin/buf breaking protos --against "protos/releases/$release"
echo "buf breaking: nothing breaks ${release%.binpb}"

rpc=$($bin/python -c 'import google.rpc; print(list(google.rpc.__path__)[0])')
for file in protos/google/rpc/*.proto; do
    diff -u "$rpc/$(basename "$file")" "$file" || {
        echo "$file differs from googleapis-common-protos: copy it again" >&2
        exit 1
    }
done
echo "google/rpc: as in googleapis-common-protos"

mkdir "$work/stubs"
sh protos/generate.sh "$work/stubs"
for stub in "$work"/stubs/spanqa/v1/*; do
    diff -u "client/src/spanqa/v1/$(basename "$stub")" "$stub" || {
        echo "stubs differ from the proto: run make proto" >&2
        exit 1
    }
done
echo "stubs: as the proto says"

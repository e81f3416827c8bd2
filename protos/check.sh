#!/bin/sh
# buf lint, buf breaking against the last release, and drift of the committed stubs.
set -eu
bin=.venv/bin
proto=spanqa/v1/question_answering.proto
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# An image made by protoc: buf would fetch google/rpc from its registry to make its own.
image() {
    $bin/python -W ignore -m grpc_tools.protoc -I"$1" --include_imports \
        --include_source_info --descriptor_set_out="$2" $proto
}
image protos "$work/now.binpb"
$bin/buf lint "$work/now.binpb" --config protos/buf.yaml --path $proto
echo "buf lint: clean"

release=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
if [ -n "$release" ]; then
    mkdir -p "$work/release/$(dirname $proto)"
    git show "$release:protos/$proto" > "$work/release/$proto"
    image "$work/release" "$work/release.binpb"
    $bin/buf breaking "$work/now.binpb" --against "$work/release.binpb" --config protos/buf.yaml --path $proto
    echo "buf breaking: nothing breaks $release"
else
    echo "buf breaking: no release tag yet, nothing to compare with"
fi

mkdir "$work/stubs"
sh protos/generate.sh "$work/stubs"
for stub in "$work"/stubs/spanqa/v1/*; do
    diff -u "client/src/spanqa/v1/$(basename "$stub")" "$stub" || {
        echo "stubs differ from the proto: run make proto" >&2
        exit 1
    }
done
echo "stubs: as the proto says"

#!/bin/sh
# Prints a line VARIABLE=image@digest for each image that is not built here, as docker/.env may have it:
# then neither compose nor a build takes anything else. Asks the registries, by docker buildx.
set -eu
{
    sed -n 's/^ *image: ${\([A-Z]*_IMAGE\):-\(.*\)}$/\1 \2/p' docker/compose.yaml
    sed -n 's/^ARG \([A-Z]*_IMAGE\)=\(.*\)$/\1 \2/p' docker/*.Dockerfile
} | sort -u | while read -r variable image; do
    digest=$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}')
    echo "$variable=$image@$digest"
done

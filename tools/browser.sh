#!/bin/sh
# browser.sh DIR PIP...: what the tests of the playground need. PIP... installs playwright, npm installs
# axe-core into DIR, and apt-get installs Chromium where no browser of its kind is on PATH.
set -eu
directory=$1
shift
"$@"
npm install --silent --no-audit --no-fund --no-save --prefix "$directory" axe-core@4.14.1
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null; then
        exit 0
    fi
done
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "Chromium is not on PATH: install it with the system's package manager, then run make again" >&2
    exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium fonts-noto-color-emoji

#!/bin/sh
# Runs a command with its output in a log, and shows one line of progress instead. Where it fails,
# the log is shown. Ctrl-C ends both.
#   sh tools/quietly.sh LOG "what happens" COMMAND...
set -u
log=$1 what=$2
shift 2

begin=$(date +%s)
if [ ! -t 2 ]; then echo "$what ..." >&2; fi
"$@" >"$log" 2>&1 &
command=$!
trap 'kill $command 2>/dev/null; echo >&2; exit 130' INT TERM

# Kept up to date on a terminal only.
while [ -t 2 ] && kill -0 $command 2>/dev/null; do
    printf '\r%s ... %s s ' "$what" $(($(date +%s) - begin)) >&2
    sleep 0.5
done
wait $command
code=$?

if [ -t 2 ]; then printf '\r%s ... ' "$what" >&2; fi
if [ $code -ne 0 ]; then
    echo "failed:" >&2
    cat "$log" >&2
    exit $code
fi
echo "done in $(($(date +%s) - begin)) s" >&2

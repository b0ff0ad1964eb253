#!/bin/sh
# Runs the function against a slow engine, once to its end and once with a time-out of three seconds.
# FOREBAY and PYTHON name the programs; make deps build installs them here.
set -eu
here=$(dirname "$0")
forebay=${FOREBAY:-bin/forebay}
python=${PYTHON:-.venv/bin/python}
FOREBAY_DATA_DIR=$(mktemp -d)
export FOREBAY_DATA_DIR PYTHONDONTWRITEBYTECODE=1

"$forebay" up --quiet --config "$here/slow.yaml" --listen 127.0.0.1:0 >"$FOREBAY_DATA_DIR/up.log" 2>&1 &
server=$!
trap 'kill $server; wait $server || true; rm -rf "$FOREBAY_DATA_DIR"' EXIT
until grep -q '^Try' "$FOREBAY_DATA_DIR/up.log"; do
    kill -0 $server || { cat "$FOREBAY_DATA_DIR/up.log"; exit 1; }
    sleep 0.1
done
eval "$("$forebay" env)"

echo "== With all the time it needs:"
"$python" "$here/invoke.py" "What is a forebay?"

echo "== Killed after 3 seconds, the time-out that a function has unless it is told otherwise:"
"$python" "$here/invoke.py" --timeout 3 "Tell me a long story. [[tokens:200]]" || echo "the function ended with status $?"

echo "== The engine was stopped, and what it had used is settled (\"left\"):"
"$forebay" usage --by outcome
echo "== The advice:"
"$forebay" doctor | grep clients

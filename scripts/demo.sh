#!/usr/bin/env bash
# The main job on the example: find and fix a real conflict, assemble, test, push, serve, verify, remove.
# Works on a copy under .demo/, which git ignores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

example=iris-service
scripts/setup.sh
scripts/bootstrap.sh
rm -rf ".demo/$example"
mkdir -p .demo
cp -R "examples/$example" ".demo/$example"
exec .venv/bin/seatrial ship ".demo/$example" --fix "$@"

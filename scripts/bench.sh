#!/usr/bin/env bash
# Run the measurements in bench/: all of them, or those named (`make bench ARGS=startup`).
# Exits 1 when one of them misses its budget.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  for file in bench/*.py; do names+=("$(basename "$file" .py)"); done
fi
failed=()
for name in "${names[@]}"; do
  if [ ! -f "bench/$name.py" ]; then
    printf 'error: there is no bench/%s.py\n' "$name" >&2
    exit 2
  fi
  printf '== %s\n' "$name"
  .venv/bin/python "bench/$name.py" || failed+=("$name")
done
if [ ${#failed[@]} -gt 0 ]; then
  printf 'missed or failed: %s\n' "${failed[*]}"
  exit 1
fi

#!/usr/bin/env bash
# Prints a Python that has an old DuckDB (1.0 or 1.4) and nothing else, for the tests that read with it what is published. It is made in
# .venv-duckdb-VERSION when it is not there yet, and made again when its lock has changed.
set -euo pipefail
cd "$(dirname "$0")/.."

version=${1:?which DuckDB: 1.0 or 1.4}
lock=tests/data/readers/duckdb-$version.lock
folder=.venv-duckdb-$version
stamp=$folder/.installed
wanted=$(cksum <"$lock")

if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
  # The Python of the tests before any other: DuckDB 1.0 has wheels up to 3.12.
  for python in "$(dirname "${PYTHON:-.venv/bin/python}")/python" python3.12 python3.11 python3; do
    if "$python" -c 'import sys, venv; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1; then
      break
    fi
    python=
  done
  if [ -z "$python" ]; then
    echo "duckdb: DuckDB $version needs a Python up to 3.12 with venv; name one: PYTHON=/where/bin/python" >&2
    exit 2
  fi
  echo "duckdb: building $folder" >&2
  # Another test run may be at it: each makes its own, and whoever is ready last puts it there.
  new=$(mktemp -d "$folder.XXXXXX")
  trap 'rm -rf "$new"' EXIT
  "$python" -m venv "$new" >&2
  uv=$(dirname "$python")/uv
  if [ -x "$uv" ]; then
    "$uv" pip install --quiet --python "$new/bin/python" --require-hashes -r "$lock" >&2
  else
    "$new/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock" >&2
  fi
  echo "$wanted" >"$new/.installed"
  rm -rf "$folder"
  mv "$new" "$folder"
fi
echo "$PWD/$folder/bin/python"

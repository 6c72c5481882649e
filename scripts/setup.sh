#!/usr/bin/env bash
# Builds .venv from requirements.lock with Python 3.12 or newer. Does nothing when the lock is already installed.
set -euo pipefail
cd "$(dirname "$0")/.."

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.12 python3.13 python3.14 python3 python; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; then
      echo "$candidate"
      return
    fi
  done
  cat >&2 <<'TEXT'
setup: no Python 3.12 or newer with venv was found.
  Debian, Ubuntu   apt install python3.12 python3.12-venv   (older releases: pyenv install 3.12)
  macOS            brew install python@3.12
  anywhere         pyenv install 3.12 && pyenv local 3.12
Or name one: make setup PYTHON=/where/python3.12
TEXT
  exit 2
}

stamp=.venv/.installed
wanted=$(cat requirements.lock pyproject.toml | cksum)
if [ -x .venv/bin/churn ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi

python=$(find_python)
echo "setup: $("$python" --version), building .venv"
if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; then
  rm -rf .venv
  "$python" -m venv .venv
fi
# uv installs the locked set in seconds; where it cannot be had, pip does the same in minutes.
if .venv/bin/python -m pip install --quiet --disable-pip-version-check uv; then
  install=(.venv/bin/uv pip install --quiet --python .venv/bin/python)
else
  install=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
fi
"${install[@]}" --require-hashes -r requirements.lock
"${install[@]}" --no-deps --editable .
# The first start of Python writes bytecode for everything; better here than in somebody's first run.
.venv/bin/python -m compileall -q -j 2 .venv/lib churn_pipeline >/dev/null 2>&1 || true
echo "$wanted" > "$stamp"
echo "setup: done; the command is .venv/bin/churn"

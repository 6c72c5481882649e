#!/usr/bin/env bash
# What the fault tests need beside Python: faketime, which sets the clock of a process. Found again when it is there.
set -euo pipefail
if command -v faketime >/dev/null && command -v unshare >/dev/null; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "test-tools: install faketime (libfaketime) and unshare (util-linux) with this system's package manager" >&2
  exit 2
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
  as_root=(sudo)
fi
echo "test-tools: installing faketime"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq faketime util-linux >/dev/null

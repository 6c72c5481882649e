#!/usr/bin/env bash
# Writes tests/data/grafana-schema/schema.json anew from Grafana's own types for the version that docker-compose.yml names: the package
# @grafana/schema of the npm registry, as JSON Schema. Needs npm and the network; nothing else of the project does.
set -euo pipefail
cd "$(dirname "$0")/.."
version="$(sed -n 's|.*image: grafana/grafana:\([0-9.]*\).*|\1|p' docker-compose.yml | head -1)"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund --silent "@grafana/schema@$version" ts-json-schema-generator@2.4.0

# A board stores what differs from a panel's defaults, so no option of a panel is required.
schema() {
  echo "import type { $2 } from './node_modules/@grafana/schema/dist/types/raw/$1_types.gen'; export type Root = $3;" > "$folder/root.ts"
  "$folder/node_modules/.bin/ts-json-schema-generator" --path "$folder/root.ts" --type Root --no-type-check --out "$folder/$4.json"
}
schema dashboard/x/dashboard Dashboard Dashboard dashboard
for panel in stat:Stat table:Table timeseries:TimeSeries; do
  plugin="${panel%:*}"
  types="composable/$plugin/panelcfg/x/${panel#*:}PanelCfg"
  schema "$types" Options "Partial<Options>" "$plugin.options"
  # The number has no settings of its own for a field.
  [ "$plugin" = stat ] || schema "$types" FieldConfig "Partial<FieldConfig>" "$plugin.custom"
done
cp "$folder/node_modules/@grafana/schema/LICENSE_APACHE2" tests/data/grafana-schema/LICENSE
VERSION="$version" FOLDER="$folder" .venv/bin/python - <<'PYTHON'
import json
import os
from pathlib import Path


def bare(value):
    """Without the descriptions, which are most of it."""
    if isinstance(value, dict):
        return {name: bare(inner) for name, inner in value.items() if not (name == "description" and isinstance(inner, str))}
    return [bare(inner) for inner in value] if isinstance(value, list) else value


schemas = {path.stem: bare(json.loads(path.read_text())) for path in sorted(Path(os.environ["FOLDER"]).glob("*.json"))
           if path.name not in ("package.json", "package-lock.json")}  # fmt: skip
text = json.dumps({"version": os.environ["VERSION"], **schemas}, indent=1)
Path("tests/data/grafana-schema/schema.json").write_text(text + "\n", encoding="utf-8")
PYTHON

"""Writes Grafana's dashboards."""

import sys

from churn_pipeline.delivery.grafana import write_boards

if __name__ == "__main__":
    for file in write_boards():
        sys.stdout.write(f"wrote {file}\n")

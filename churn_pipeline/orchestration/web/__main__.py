"""The web server of the stack: ``python -m churn_pipeline.orchestration.web -p 3000 -w WORKSPACE``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError

from churn_pipeline.core.errors import ChurnError
from churn_pipeline.core.settings import Settings
from churn_pipeline.orchestration.web.server import serve_stack


def main() -> int:
    """Serves until it is stopped; a sentence and an exit code where it cannot."""
    parser = argparse.ArgumentParser(description="Dagster's web server behind a login.")
    parser.add_argument("--host", default="127.0.0.1", help="Where to listen.")
    parser.add_argument("-p", "--port", type=int, default=3000, help="Where to listen.")
    parser.add_argument("-w", "--workspace", type=Path, required=True, help="Names the code server.")
    given = parser.parse_args()
    try:
        serve_stack(Settings(), given.host, given.port, given.workspace)
    except ValidationError as error:
        sys.stderr.write("".join(f"{_variable(problem['loc'])}: {problem['msg']}\n" for problem in error.errors()))
        return 2
    except ChurnError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _variable(location: tuple[int | str, ...]) -> str:
    return "CHURN_" + "_".join(str(part) for part in location).upper()


if __name__ == "__main__":
    sys.exit(main())

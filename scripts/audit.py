"""What the images are made of: an SBOM of each (CycloneDX) in build/sbom, and the known vulnerabilities of its packages.

Both come from the locks, so no image has to be built. The two tools are fetched by uv for the call and are part of nothing else. Ends with 0
when every package was looked up and none has a known vulnerability, 1 where one has, 2 where that could not be looked up.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[1]
LOCKS = {"churn-pipeline": "docker/requirements.lock", "churn-mlflow": "mlflow/requirements.lock"}
SBOM_TOOL, AUDIT_TOOL = "cyclonedx-bom==7.5.0", "pip-audit==2.10.1"
# A lock is for every system; the images are Linux with Python 3.12.
IMAGE = {
    "os_name": "posix",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "python_version": "3.12",
    "python_full_version": "3.12.12",
}


class NotFoundOutError(Exception):
    """A tool could not be had, or did not come to an end."""


def in_the_image(lock: str) -> Iterator[str]:
    """The requirements of a lock that the image gets, one a line, with their hashes."""
    joined = re.sub(r"\s*\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", lock, flags=re.MULTILINE))
    for line in filter(None, map(str.strip, joined.splitlines())):
        requirement, *hashes = line.split(" --hash=")
        parsed = Requirement(requirement)
        if parsed.marker is None or parsed.marker.evaluate(IMAGE):
            name = f"{parsed.name}[{','.join(sorted(parsed.extras))}]" if parsed.extras else parsed.name
            yield " ".join([f"{name}{parsed.specifier}", *(f"--hash={text.strip()}" for text in hashes)])


def run(tool: str, *command: str) -> str:
    """What a tool prints.

    Raises:
        NotFoundOutError: it could not be fetched or run.
    """
    uv = Path(sys.executable).with_name("uv")
    words = [str(uv), "tool", "run", "--quiet", "--python", sys.executable, "--from", tool, *command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotFoundOutError(f"{tool}: {error}") from None
    # pip-audit ends with 1 where it found something, and says what.
    if done.returncode not in (0, 1) or not done.stdout.strip():
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise NotFoundOutError(f"{tool}: {lines[0]}")
    return done.stdout


def vulnerable(report: dict[str, Any]) -> list[str]:
    """A line for every known vulnerability."""
    return [
        f"{package['name']} {package['version']}: {problem['id']}"
        + (f", mended in {', '.join(problem['fix_versions'])}" if problem["fix_versions"] else "")
        for package in report["dependencies"]
        for problem in package.get("vulns", [])
    ]


def not_looked_up(report: dict[str, Any]) -> list[str]:
    """The packages that no database was asked about; the tool itself calls that a success."""
    return [package["name"] for package in report["dependencies"] if "skip_reason" in package]


def main() -> int:
    """Writes the SBOMs, then looks the packages up."""
    folder = REPOSITORY / "build" / "sbom"
    folder.mkdir(parents=True, exist_ok=True)
    codes = [0]
    for image, name in LOCKS.items():
        requirements = folder / f"{image}.txt"
        lines = list(in_the_image((REPOSITORY / name).read_text(encoding="utf-8")))
        requirements.write_text("\n".join(lines) + "\n", encoding="utf-8")
        try:
            sbom = run(SBOM_TOOL, "cyclonedx-py", "requirements", str(requirements), "--of", "JSON", "-o", "-")
            (folder / f"{image}.cdx.json").write_text(sbom, encoding="utf-8")
            print(f"audit: {image}: {len(lines)} packages in build/sbom/{image}.cdx.json")
            report_text = run(
                AUDIT_TOOL, "pip-audit", "-r", str(requirements), "--require-hashes", "--disable-pip", "-f", "json"
            )
        except NotFoundOutError as problem:
            print(f"audit: {image}: could not be looked up: {problem}")
            codes.append(2)
            continue
        report = json.loads(report_text)
        problems, unknown = vulnerable(report), not_looked_up(report)
        for problem in problems:
            print(f"audit: {image}: {problem}")
        if unknown:
            print(
                f"audit: {image}: {len(unknown)} of {len(lines)} packages could not be looked up: {', '.join(unknown[:5])} ..."
            )
        codes.append(1 if problems else 2 if unknown else 0)
        if codes[-1] == 0:
            print(f"audit: {image}: no known vulnerability")
    return 1 if 1 in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main())

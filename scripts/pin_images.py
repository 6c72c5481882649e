"""Writes the digest of every image beside its tag: in docker-compose.yml, and in the Dockerfiles for what ours are built on.

A tag can be moved to other content, a digest cannot. Docker asks the registries; where one does not answer nothing is written.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
FILES = ("docker-compose.yml", "docker/Dockerfile", "mlflow/Dockerfile")
# Images that are built here stand in no registry.
_IMAGE = re.compile(
    r"^(?P<before>\s*image: |FROM )(?P<tag>(?!churn-)[\w./-]+:[\w.-]+)(?:@sha256:[0-9a-f]{64})?(?= |$)", re.MULTILINE
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class NoDigestError(Exception):
    """No registry said what a tag stands for."""


def tags(text: str) -> set[str]:
    """The tags of the images that a file names."""
    return {match["tag"] for match in _IMAGE.finditer(text)}


def pinned(text: str, digests: dict[str, str]) -> str:
    """The file with a digest behind every tag, in place of the one that was there."""
    return _IMAGE.sub(lambda match: f"{match['before']}{match['tag']}@{digests[match['tag']]}", text)


def digest_of(tag: str) -> str:
    """What the registry says that a tag stands for, for every kind of machine.

    Raises:
        NoDigestError: there is no Docker, or no answer.
    """
    command = ["docker", "buildx", "imagetools", "inspect", tag, "--format", "{{.Manifest.Digest}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoDigestError(f"{tag}: {error}") from None
    digest = done.stdout.strip()
    if done.returncode or not _DIGEST.fullmatch(digest):
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no answer"]
        # What Docker makes of the words after a plugin that it does not have.
        problem = "this Docker has no buildx" if lines[0].startswith("unknown flag") else lines[0]
        raise NoDigestError(f"{tag}: {problem}")
    return digest


def main(root: Path = REPOSITORY) -> int:
    """Pins all images or none."""
    texts = {root / name: (root / name).read_text(encoding="utf-8") for name in FILES}
    digests, problems = {}, []
    for tag in sorted(set().union(*map(tags, texts.values()))):
        try:
            digests[tag] = digest_of(tag)
        except NoDigestError as problem:
            problems.append(str(problem))
    if problems:
        sys.stderr.write("".join(f"pin-images: {problem}\n" for problem in problems))
        sys.stderr.write("pin-images: no digest was written; images stay pinned by their tags\n")
        return 1
    for path, text in texts.items():
        path.write_text(pinned(text, digests), encoding="utf-8")
    sys.stdout.write("".join(f"{tag}@{digest}\n" for tag, digest in digests.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What pyproject.toml cannot say: folders at the top of the repository that the package needs go into the wheel, inside the package.

They stay where they are in a checkout, where people edit them; `shipped` in churn_pipeline/core/settings.py finds either.
"""

from pathlib import Path
from shutil import copy2

from setuptools import setup
from setuptools.command.build_py import build_py

PACKAGE = "churn_pipeline"
# By their endings: what dbt or an editor leaves in the folder is nobody's business.
SHIPPED = [
    Path("workspace.yaml"),
    *sorted(path for ending in ("sql", "yml", "csv") for path in Path("dbt_project").rglob(f"*.{ending}")),
]


class BuildWithProject(build_py):
    """Copies what is shipped beside the modules. An editable installation copies nothing: it is the checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for path in SHIPPED:
            copy = Path(self.build_lib, PACKAGE, path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy2(path, copy)


setup(cmdclass={"build_py": BuildWithProject})

"""Prints the lower bound of every dependency, of the service and of its tests, as the version that is to be installed.

    python tools/lower_bounds.py > exact.txt

`make lower-bounds` installs by these and runs live tests with them: a bound that nobody has tried is a guess.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

_PROJECT = Path(__file__).parents[1] / "pyproject.toml"
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?>=(?P<version>[0-9][0-9.]*)(,<[0-9.]+)?(;sys_platform!='win32')?"
)


def exact(dependencies: Sequence[str]) -> Iterator[str]:
    """Yield each dependency at its lower bound; raise ValueError for one that declares none."""
    for dependency in dependencies:
        declared = _REQUIREMENT.fullmatch(dependency.replace(" ", ""))
        if declared is None:
            raise ValueError(f"{dependency!r} declares no lower bound of the form name>=version")
        yield f"{declared['name']}=={declared['version']}"


def main() -> None:
    """Print one line for each dependency."""
    project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
    dependencies = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    sys.stdout.writelines(f"{line}\n" for line in exact(dependencies))


if __name__ == "__main__":
    main()

"""Builds the image of `deploy/container` from this machine's Debian packages, and runs what it says, read-only.

No registry of images is asked: the base is made of the files of installed packages. `buildah` builds; the service is
started in a mount namespace of its own, with the image's user, environment and command, because runtimes for containers
need control groups that test machines may not have.
"""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.machine.required import require, required_program

ROOT = Path(__file__).parents[3]
_IN_THE_BASE = ("base-files", "bash", "dash", "coreutils", "python3-venv")
_UNNEEDED = ("/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/info")
_PIP_OPTIONS = "--no-index --find-links /wheels"
# Without bytecode, which a real image has: compiling it takes longer than all the rest. In this file, and not among the
# options, because pip also starts itself, to install what builds the package. To pip, "no" sets this option.
_FILES = {"etc/passwd": b"", "etc/pip.conf": b"[install]\nno-compile = no\n"}
# What a container sees of the machine: its own writable folders, and none of its secrets.
_STARTED = """
set -e
root=$1 data=$2 user=$3; shift 3
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$data" "$root/var/lib/thingmint"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+sys_chroot,+setuid,+setgid \
  chroot --userspec="$user" "$root" "$@"
"""


@dataclass(frozen=True)
class Image:
    """An image that was built, mounted: its root and what it says of its process."""

    root: Path
    user: str
    environment: Mapping[str, str]
    command: Sequence[str]


def base_archive(file: Path) -> None:
    """Write the files of Debian packages and of what they depend on; skip or fail the test where they are missing."""
    dpkg = required_program("dpkg-query")
    known = subprocess.run(
        [dpkg, "--show", "--showformat=${Package}\\t${Pre-Depends}, ${Depends}\\t${Provides}\\n"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("\t") for line in known.stdout.splitlines()]
    needs = {package: _names(needed) for package, needed, _ in rows}
    providers = {name: package for package, _, provided in rows for name in _names(provided)}
    wanted, found = list(_IN_THE_BASE), set[str]()
    while wanted:
        name = wanted.pop()
        package = name if name in needs else providers.get(name, "")
        if package and package not in found:
            found.add(package)
            wanted += needs[package]
    require(set(_IN_THE_BASE) <= found, "the packages of the image's base are not installed")
    listed = subprocess.run([dpkg, "--listfiles", *sorted(found)], capture_output=True, text=True, check=True)
    _archive(file, {line for line in listed.stdout.splitlines() if line.startswith("/")} | {"/bin", "/lib", "/lib64"})


def _names(relation: str) -> list[str]:
    return [re.split(r"[ :(]", name.strip(), maxsplit=1)[0] for name in re.split(r"[,|]", relation) if name.strip()]


def _archive(file: Path, paths: Iterable[str]) -> None:
    with tarfile.open(file, "w") as archive:
        for path in sorted(paths):
            if path != "/." and not path.startswith(_UNNEEDED) and os.path.lexists(path):
                real = Path(path).parent.resolve() / Path(path).name
                archive.add(real, str(real).lstrip("/"), recursive=False)
        for name in ("dev", "proc", "tmp", "root", "var/lib"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(folder)
        for name, content in _FILES.items():
            written = tarfile.TarInfo(name)
            written.size = len(content)
            archive.addfile(written, io.BytesIO(content))


def skip_where_nothing_can_be_built(folder: Path) -> None:
    """Skip the test where root may neither mount nor build; fail it in continuous integration.

    Also skip it where this Python, for which the wheels are, has another version than Debian's, which the image has.
    """
    may_mount = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
    require(may_mount and Buildah(folder).works(), "root may not mount file systems and build images here")
    debian = subprocess.run(
        ["/usr/bin/python3", "-c", "import sys; print(sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=False,
    )
    if debian.stdout.strip() != str(sys.version_info[:2]):
        pytest.skip("this Python has another version than Debian's")


@contextlib.contextmanager
def built_image(folder: Path) -> Iterator[Image]:
    """Yield the image of the Containerfile, mounted; it is deleted afterwards, with all that was made for it."""
    buildah = Buildah(folder)
    base_archive(folder / "base.tar")
    empty = buildah("from", "scratch")
    buildah("add", "--quiet", empty, str(folder / "base.tar"), "/")
    buildah("commit", "--quiet", "--rm", empty, "localhost/base")
    (folder / "base.tar").unlink()
    wheels = folder / "wheels"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed = (*project["project"]["dependencies"], *project["build-system"]["requires"])
    pip = (sys.executable, "-m", "pip")
    subprocess.run([*pip, "download", "--quiet", "--dest", str(wheels), *needed], check=True)
    containerfile = str(ROOT / "deploy" / "container" / "Containerfile")
    arguments = ("--build-arg", "BASE=localhost/base", "--build-arg", f"PIP_OPTIONS={_PIP_OPTIONS}")
    inside = ("--isolation", "chroot", "--volume", f"{wheels}:/wheels:ro", "--pull-never")
    buildah("build", "--quiet", *inside, *arguments, "--file", containerfile, "--tag", "localhost/image", str(ROOT))
    container = buildah("from", "--pull-never", "localhost/image")
    try:
        config = json.loads(buildah("inspect", "--type", "image", "localhost/image"))["OCIv1"]["config"]
        environment = dict(each.split("=", 1) for each in config["Env"])
        command = (*config["Entrypoint"], *config["Cmd"])
        yield Image(Path(buildah("mount", container)), config["User"], environment, command)
    finally:
        buildah("rm", "--all")
        buildah("rmi", "--all", "--force")


class Buildah:
    """Calls the program with a storage of its own."""

    def __init__(self, folder: Path) -> None:
        self._program = required_program("buildah")
        self._options = ("--root", str(folder / "images"), "--runroot", str(folder / "run"))

    def works(self) -> bool:
        """Return whether an empty container can be made here."""
        made = subprocess.run([self._program, *self._options, "from", "scratch"], capture_output=True, check=False)
        self("rm", "--all")
        return made.returncode == 0

    def __call__(self, *arguments: str) -> str:
        """Return the last line that it prints."""
        finished = subprocess.run(
            [self._program, *self._options, *arguments], capture_output=True, text=True, check=False
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        output = finished.stdout.strip()
        return output if output.startswith("{") else output.rpartition("\n")[2]


def started(image: Image, data: Path, *arguments: str) -> list[str]:
    """Return the command line that runs the image's process with its root read-only; the data are the user's."""
    user, _, group = image.user.partition(":")
    os.chown(data, int(user), int(group))
    variables = [f"{name}={value}" for name, value in image.environment.items()]
    inside = ["/usr/bin/env", "-i", *variables, *image.command, *arguments]
    return ["unshare", "--mount", "sh", "-c", _STARTED, "sh", str(image.root), str(data), image.user, *inside]

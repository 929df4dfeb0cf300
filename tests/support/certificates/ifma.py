"""Owns what tests of thingmint-ifma need: a processor that can run it, and builds of it that fail on purpose."""

import contextlib
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
from tests.support.machine.required import require

PACKAGE = Path(__file__).parents[3] / "packages" / "thingmint-ifma"
NAME = "thingmint_ifma"
# Put in front of the C part: what it calls in place of the library's exponentiation. From a call number on, counted
# for each process, it does what one of FAULTS says. The file `fault` beside the module has the number of the fault and
# that of the call.
_FAULTY_LIBRARY = """
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <crypto_mb/exp.h>

static int fault = -1;
static long after;

__attribute__((constructor)) static void choose(void)
{
    Dl_info own;
    char path[4096];
    if (!dladdr((void *)choose, &own))
        return;
    snprintf(path, sizeof path, "%.*s/fault", (int)(strrchr(own.dli_fname, '/') - own.dli_fname), own.dli_fname);
    FILE *file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%d %ld", &fault, &after) != 2)
        fault = -1;
    if (file != NULL)
        fclose(file);
}

static mbx_status faulty_exp1024_mb8(int64u *const out[8], const int64u *const base[8], const int64u *const exponent[8],
                                     int exp_bits, const int64u *const mod[8], int mod_bits, int8u *buffer, int length)
{
    static long calls;
    mbx_status status = mbx_exp1024_mb8(out, base, exponent, exp_bits, mod, mod_bits, buffer, length);
    if (++calls > after)
        switch (fault) { CASES }
    return status;
}
#define mbx_exp1024_mb8 faulty_exp1024_mb8
"""
FAULTS = {
    # Every candidate passes for a prime: the power is always 1 and, in the end, the exponent is odd.
    "everything is prime": "for (int lane = 0; lane < 8; lane++) { memset(out[lane], 0, 128); out[lane][0] = 1; }",
    "a wrong bit in one lane": "out[5][7] ^= 1ULL << 40",
    "an error": "status = MBX_STATUS_MISMATCH_PARAM_ERR << 12",
    "a crash": "__builtin_trap()",
    "an abort": "raise(SIGABRT)",
    "no end": 'for (;;) __asm__ volatile("")',
    "an exit": "_exit(3)",
}


def require_ifma() -> None:
    """Skip the test without AVX512-IFMA, even in continuous integration; without the package, where it may be."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists() or "avx512ifma" not in cpuinfo.read_text():
        pytest.skip("this processor has no AVX512-IFMA")
    try:
        import thingmint_ifma
    except ImportError as error:
        require(None, f"thingmint-ifma is not installed: {type(error).__name__}")
    else:
        assert thingmint_ifma.is_applicable()


@contextlib.contextmanager
def package_replaced(directory: Path) -> Iterator[Callable[[str], None]]:
    """Yield a function that writes what is imported in the place of the package, here and in new processes."""
    own = {name: sys.modules[name] for name in list(sys.modules) if name.partition(".")[0] == NAME}

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
            del sys.modules[name]

    def write(text: str) -> None:
        forget()
        (directory / f"{NAME}.py").write_text(text)
        importlib.invalidate_caches()

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(directory))
        patch.setenv("PYTHONPATH", str(directory))
        patch.setattr(sys, "dont_write_bytecode", True)
        try:
            yield write
        finally:
            forget()
            sys.modules.update(own)


def is_installed(distribution: str) -> bool:
    """Return whether a package is installed."""
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


@pytest.fixture(scope="session")
def faulty_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is that was built against a library which fails; `failing` says how."""
    require_ifma()
    require(shutil.which("gcc") and PACKAGE.exists(), "the C part of thingmint-ifma cannot be built without gcc")
    require(is_installed("ipp-crypto-static"), "the C part of thingmint-ifma cannot be built without ipp-crypto-static")
    directory = tmp_path_factory.mktemp("faulty")
    copy = directory / "package"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("*.so", "build"))
    cases = "".join(f"case {number}: {{ {code}; }} break; " for number, code in enumerate(FAULTS.values()))
    header = directory / "faulty.h"
    header.write_text(_FAULTY_LIBRARY.replace("CASES", cases))
    # Only the search calls the library.
    search = copy / "src" / "thingmint_ifma" / "native" / "search.c"
    search.write_text(search.read_text().replace('#include "search.h"', f'#include "{header}"\n#include "search.h"'))
    built = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=copy,
        env={**os.environ, "CFLAGS": "-O1 -D_GNU_SOURCE"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return copy / "src"


def failing(package: Path, fault: str, after: int, directory: Path) -> Path:
    """Copy the built package to a directory and let it fail from a number of calls on; return where to import it."""
    copy = directory / "failing"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("native", "__pycache__"))
    (copy / NAME / "fault").write_text(f"{list(FAULTS).index(fault)} {after}")
    return copy

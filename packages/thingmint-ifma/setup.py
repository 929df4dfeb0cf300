"""Builds the C part of the package, and links Intel's crypto_mb into it statically.

The library and its headers come from the packages ipp-crypto-static and ipp-crypto-include, which are needed to build
only. Their files are found by their records.
"""

from importlib import metadata
from pathlib import Path

from setuptools import Extension, setup

NATIVE = "src/thingmint_ifma/native"


def installed(distribution: str, name: str) -> Path:
    """Return the path of a file that a distribution has installed."""
    for file in metadata.files(distribution) or []:
        if file.match(name):
            return Path(str(file.locate())).resolve()
    raise FileNotFoundError(f"{distribution} has no file {name}")


library = installed("ipp-crypto-static", "libcrypto_mb.a")
headers = installed("ipp-crypto-include", "crypto_mb/exp.h").parents[1]

setup(
    ext_modules=[
        Extension(
            "thingmint_ifma._native",
            sources=[f"{NATIVE}/{name}.c" for name in ("module", "search", "sieve", "no_openssl")],
            depends=[f"{NATIVE}/{name}.h" for name in ("numbers", "search", "sieve")],
            include_dirs=[str(headers)],
            extra_objects=[str(library)],
            extra_compile_args=["-O2", "-Wall", "-Wextra", "-fvisibility=hidden"],
            # What the library exports stays inside: another copy of it in the process is another copy.
            extra_link_args=["-Wl,--exclude-libs,ALL", "-Wl,--gc-sections"],
        )
    ]
)

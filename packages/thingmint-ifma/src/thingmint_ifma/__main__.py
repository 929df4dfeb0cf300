"""``python -m thingmint_ifma``: whether the engine works on this machine, in a process that may crash over it."""

import sys

from thingmint_ifma import SelfTestFailed, is_applicable, library_version, self_test


def main() -> int:
    """Run the self-test; print the library's version, or what is wrong, and return the exit code."""
    if not is_applicable():
        sys.stdout.write("this processor has no AVX512-IFMA\n")
        return 1
    try:
        self_test()
    except SelfTestFailed as failure:
        sys.stdout.write(f"the self-test failed: {failure}\n")
        return 1
    sys.stdout.write(f"{library_version()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Lets `python -m thingmint` be the command line."""

from thingmint.cli import main

if __name__ == "__main__":
    main()

"""Owns many commands of the AWS CLI in one process: a list of arguments each on standard input, what came of it back.

    python -m tests.support.clients.aws_cli_batch < COMMANDS.json > OUTCOMES.json

The CLI takes longer to start than its commands take to run.
"""

import contextlib
import io
import json
import os
import sys

from awscli.clidriver import create_clidriver


def main() -> None:
    """Run the commands in their order."""
    driver, outcomes = create_clidriver(), []
    for arguments in json.load(sys.stdin):
        # The CLI prints bytes where it can: it needs what a terminal has below its text.
        output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        errors = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                status = driver.main(arguments)
            except SystemExit as ended:
                status = ended.code
        output.seek(0)
        outcomes.append({"status": status, "output": output.read(), "errors": errors.getvalue()})
    print(json.dumps(outcomes))


if __name__ == "__main__":
    os.environ.setdefault("AWS_PAGER", "")
    main()

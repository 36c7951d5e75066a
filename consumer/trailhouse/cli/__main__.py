"""Run the command line as ``python -m trailhouse.cli``."""

import sys

from trailhouse.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

"""What ``spark-submit`` runs: ``spark-submit OPTIONS spark_submit.py scan INPUT... --out URL --engine spark``.

Stands alone, so that it can be copied anywhere; tropescan itself comes from --py-files or from the environment.
"""

from __future__ import annotations

import sys


def run() -> None:
    """The command line, without the folder of this file among those that modules are looked for in."""
    sys.path[:] = [folder for folder in sys.path if folder != __file__.rpartition("/")[0]]
    from jobs.main import main

    main()


if __name__ == "__main__":
    run()

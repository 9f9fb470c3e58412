"""What ``spark-submit`` runs: ``spark-submit OPTIONS spark_submit.py scan INPUT... --out URL --engine spark``.

Stands alone, so that it can be copied anywhere; tropescan itself comes from --py-files or from the environment.
Its exit status is that of ``tropescan``, except that rejected records alone make it no failure: YARN would start the
application again, for nothing, and everyone's dashboards would call it FAILED. They are counted and printed as always;
with --strict, shards that hold some fail.
"""

from __future__ import annotations

import sys


def run() -> None:
    """The command line, without the folder of this file among those that modules are looked for in."""
    sys.path[:] = [folder for folder in sys.path if folder != __file__.rpartition("/")[0]]
    from jobs.main import main
    from jobs.running import RecordsRejected

    try:
        main()
    except RecordsRejected:
        print("every shard is done; the rejected records above are no failure to the cluster, so the exit status is 0")
    except SystemExit as end:
        if end.code:  # where Python runs inside something else, even an exit with 0 may count as an error
            raise


if __name__ == "__main__":
    run()

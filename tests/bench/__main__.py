"""``python -m tests.bench``. A worker process that imports this file loads nothing by it."""

from __future__ import annotations

if __name__ == "__main__":
    from tests.bench.command import main

    main()

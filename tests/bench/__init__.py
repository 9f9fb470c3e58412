"""Speed against well-known tools on real text: ``python -m tests.bench --out bench-out`` (``make bench``)."""

"""Machine code from Python functions, compiled once for a machine: where it is kept, and how it is made."""

"""Reading in machine code."""

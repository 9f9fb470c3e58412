"""A policy carried out: shards read with their tags in lockstep, and written as decided. Knows no engine."""

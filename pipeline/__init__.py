"""Shards, tags and what is made of them; knows neither the engine that runs it nor how a score is made."""

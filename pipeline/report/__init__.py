"""The report of a scan: figures out of its tags (`collect`), and the page drawn from them (`page`).

Knows neither models nor how scores are made; reads tags, reports and, for excerpts, a few shards again.
"""

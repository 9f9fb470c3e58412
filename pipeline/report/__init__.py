"""The report of a scan: figures out of its tags (`collect`), and the page drawn from them (`page`). Likewise of what a
policy would cost (`preview`) and did cost (`collateral`).

Knows neither models nor how scores are made; reads tags, reports, decisions and, for texts, a few shards again.
"""

"""Prevalence: how common a label is in what was scanned, and how sure that is.

Strata, allocation and a keyed draw before labelling; design-based estimates with small-count intervals after it.
Knows arrays, tags and plans; knows neither the label store, nor engines, nor pages.
"""

"""The scoring kernel, a stage a file: tokenise, hash, look up, n-grams, sum, windows; `batch` runs them in turn.

Tokens go through the stages in blocks of a few thousand, so that each stage's random loads overlap and the
arrays between the stages stay in the second-level cache. A single loop over tokens is three to four times slower.
"""

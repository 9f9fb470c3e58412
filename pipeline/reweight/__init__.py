"""Weights of documents that bring a corpus to stated goals with the least distortion, worked out from tags alone.

Minimum Kullback-Leibler reweighting under linear constraints: raking (Deming & Stephan 1940), calibration with bounded
weights (Deville & Särndal 1992), entropy balancing (Hainmueller 2012). Knows tags; knows no text, no model, no policy.
"""

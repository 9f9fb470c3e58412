"""fastText models as arrays, the scoring kernel, training, evaluation and explanation."""

"""More for a model that exists: training on, and one new word."""

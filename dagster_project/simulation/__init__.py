"""A made-up business whose truth is known, to judge by what the warehouse says of it.

Belongs here: profiles of customers, their draws and the lines they leave. No run reads the truth;
measuring against it is in `benchmarks/`.
"""

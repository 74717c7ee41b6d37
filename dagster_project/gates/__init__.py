"""The two doors: what comes in (raw) and what goes out (release), judged by GX suites.

Belongs here: running suites, what they judge against, and the record of their verdicts. The suites
themselves are in `expectations/`; what a verdict leads to is up to `release` and `defs`.
"""

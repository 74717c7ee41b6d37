"""Files into schema `raw`: found, read, typed, reconciled, all or nothing.

Belongs here: everything between a file in the landing folder and a row of a raw table. What the
rows mean is up to the models. The way of a file: `files` (found), `text_files` and `readers`
(records), `values`, `pseudonyms`, `mapping` and `lookups` (typed rows), `staging`, `reconcile`
(every line accounted for), `load` (rows replaced), `settle` (files that went, keys that repeat),
`repeated_lines` (files compared).
"""

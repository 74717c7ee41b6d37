"""Files into schema `raw`: found, read, typed, reconciled, all or nothing.

Belongs here: everything between a file in the landing folder and a row of a raw table. What the
rows mean is up to the models.
"""

"""What Dagster shows: assets, checks, jobs, schedules, sensors, resources.

Belongs here: nouns, what they are made from, and what a person sees of them in the UI. How they are
made is in the folders below, which know nothing of assets.
"""

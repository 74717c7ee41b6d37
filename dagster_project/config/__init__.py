"""What a source is: its file, its tables' columns, when a customer is lost, value tiers.

Belongs here: reading and checking configuration, without data and without a run (only
`churn_estimate` looks into a release, for what an estimated definition came to there). A mistake
ends in a ConfigurationError that names the file, the line, the key and the remedy. The way of a
file: `yaml_lines` and `tables`, `churn`, `tiers` (parts that are right by themselves), `checks`
(parts beside each other), `source`.
"""

"""What a source is: its file, its tables' columns, when a customer is lost, value tiers.

Belongs here: reading and checking configuration, without data and without a run. A mistake ends in
a ConfigurationError that names the file, the line, the key and the mend.
"""

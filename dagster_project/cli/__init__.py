"""What a person types: `winback` and its commands, what a run says and how it fails.

Belongs here: arguments, exit codes, words for the terminal. What a command does is below.
"""

"""What a person types: `winback` and its commands, what a run says and how it fails.

Belongs here: arguments, exit codes, words for the terminal. What a command does is below.
"""

import signal
import sys

if sys.argv[0].endswith("winback"):
    # Until `main` has them: Ctrl-C while the libraries load is to end without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

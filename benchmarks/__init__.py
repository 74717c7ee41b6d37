"""How fast and large the warehouse is, how right, and what differs between two versions.

See README.md. No part of the tests but for the two scripts that compare.
"""

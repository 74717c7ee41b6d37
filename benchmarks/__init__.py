"""How fast and large the warehouse is, and how right; see README.md. No part of the tests."""

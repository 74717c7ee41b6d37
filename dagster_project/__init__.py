"""The win-back warehouse: raw transactions in, gated and published win-back tables out."""

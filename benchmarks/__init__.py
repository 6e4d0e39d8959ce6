"""How fast, how small, how settled: `make bench` for this library, `python -m benchmarks.peers` beside rivals."""

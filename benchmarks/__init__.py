"""One script per question. ``python -m benchmarks`` runs them all and keeps the results beside them."""

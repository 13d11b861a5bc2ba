"""The command line: ``lrdsl VERB ...`` or ``python -m lrdsl VERB ...``."""

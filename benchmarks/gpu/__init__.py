"""Questions to a CUDA device. One module each; `python -m benchmarks.gpu` asks them all.

A question is a module with a ``TARGET`` in words, which is printed beside the figures and never asserted, and
``ask(bench)``, which returns figures. Three clocks are used:

- kernel: device time alone. The device is kept busy until the host has issued all calls, so that no gap is the
  host's; CUDA events stand around them.
- wall: the host's clock around several calls in a row, with a synchronisation at both ends.
- host: how long one call keeps the host, on a device that has nothing to do.

As everywhere here, peers take turns in one process and what counts is the ratio within a round.
"""

"""All benchmarks, one after another."""

from benchmarks import language, startup, step

for script in (language, step, startup):
    script.main()

"""All benchmarks, one after another."""

from benchmarks import growth, hostile, language, limit, startup, step, training_step

for script in (language, hostile, step, training_step, growth, limit, startup):
    script.main()

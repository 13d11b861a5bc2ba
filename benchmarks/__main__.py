"""All benchmarks, one after another."""

from benchmarks import growth, language, limit, startup, step, training_step

for script in (language, step, training_step, growth, limit, startup):
    script.main()

"""The scenarios; each module ends in SCENARIOS and is found by bench.scenario.load_all."""

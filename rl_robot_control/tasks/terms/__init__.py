"""Terms: small pure functions on batched arrays, named in a task's YAML. One module per kind."""

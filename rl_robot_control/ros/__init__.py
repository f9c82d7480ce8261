"""Messages ↔ arrays: topics, conversions, parameters, processes, and the backend over topics."""

"""Methods of learning: one module per family; each learner is a ``learner.Learner``."""

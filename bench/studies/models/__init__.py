"""Models of the studies: those that `topiary model new` does not make."""

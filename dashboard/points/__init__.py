"""Points of the curve as pages show them: which is picked, its numbers and differences, the rule."""

"""Reading results.duckdb: one short look for each question, its answer kept until the store changes."""

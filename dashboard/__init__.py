"""results.duckdb in; frontier, comparison, failures and export in the browser."""

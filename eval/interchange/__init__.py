"""Results out of the store and into it: our own JSONL and Parquet, and the files of llm-jp-judge."""

"""One client for everything that talks to an OpenAI-compatible server: judges, and served models that answer."""

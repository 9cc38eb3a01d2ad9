"""Preference data made with served models: questions, safe answers, harmful candidates, borderline pairs."""

"""The ground floor: errors, ids, files, seeds and progress. Everything may stand on it; it stands on nothing."""

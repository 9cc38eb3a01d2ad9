"""Files of prompts as their makers publish them, one module each."""

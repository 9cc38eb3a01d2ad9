"""Reading the study's folder, and the jobs that write into it: recipe, runs, bundle."""

"""`python -m mergescope`: the way in where the installed command is not on the path."""

from mergescope.cli import main

main()

"""``python -m isthmus`` runs the command line, as the command ``isthmus`` does."""

from isthmus.cli import main

if __name__ == "__main__":
    main()

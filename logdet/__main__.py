"""``python -m logdet`` is the ``logdet`` command."""

from logdet.cli import main

if __name__ == "__main__":
    main()

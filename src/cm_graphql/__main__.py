"""Lets `python -m cm_graphql` stand for the command `cm-graphql`."""

from cm_graphql.cli import main

if __name__ == "__main__":
    main()

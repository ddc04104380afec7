"""`python -m bertedge`."""

from bertedge.cli import main

if __name__ == "__main__":
    main(prog_name="bertedge")

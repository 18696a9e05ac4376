"""``python -m sparkdl_bench``."""

from sparkdl_bench.cli import main

if __name__ == "__main__":
    main()

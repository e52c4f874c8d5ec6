"""``python -m experiments.bench``."""

from experiments.bench.speed import main

if __name__ == "__main__":
    main()

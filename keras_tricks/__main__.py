"""`python -m keras_tricks` is `keras-tricks`."""

from keras_tricks.cli import main

if __name__ == "__main__":
    main()

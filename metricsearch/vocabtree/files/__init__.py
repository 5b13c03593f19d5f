"""The code of forward and inverted files; `segment` says what they hold."""

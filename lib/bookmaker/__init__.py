"""Executes the chapters, checks them and builds the site: the work behind `make`. `python -m bookmaker`."""

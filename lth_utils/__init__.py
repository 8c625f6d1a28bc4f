"""Tools for reproducing The Lottery Ticket Hypothesis (Frankle and Carbin, ICLR 2019)."""

from pathlib import Path

__version__ = "0.1.0"
ROOT = Path(__file__).resolve().parents[1]  # the checkout: notebooks/, figures/, data/ and build/ lie there

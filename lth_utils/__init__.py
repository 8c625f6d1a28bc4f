"""Tools for reproducing The Lottery Ticket Hypothesis (Frankle and Carbin, ICLR 2019)."""

__version__ = "0.1.0"

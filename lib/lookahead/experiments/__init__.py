"""Named grids of runs, and the profiles they come in."""

from lookahead.experiments.catalogue import EXPERIMENTS, Experiment, experiment
from lookahead.experiments.runner import run_experiment, stored

__all__ = ["EXPERIMENTS", "Experiment", "experiment", "run_experiment", "stored"]

"""Named grids of runs, and the profiles they come in."""

from lookahead.experiments.catalogue import EXPERIMENTS, all_experiments, find_experiment
from lookahead.experiments.experiment import PROFILES, Experiment
from lookahead.experiments.runner import Sitting, pack_experiment, run_experiment, stored

__all__ = [
    "EXPERIMENTS",
    "PROFILES",
    "Experiment",
    "Sitting",
    "all_experiments",
    "find_experiment",
    "pack_experiment",
    "run_experiment",
    "stored",
]

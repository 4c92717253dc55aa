"""Named grids of runs, and the profiles they come in."""

from lookahead.experiments.catalogue import EXPERIMENTS, experiment, experiments
from lookahead.experiments.experiment import PROFILES, Experiment
from lookahead.experiments.runner import Sitting, pack_experiment, run_experiment, stored

__all__ = [
    "EXPERIMENTS",
    "PROFILES",
    "Experiment",
    "Sitting",
    "experiment",
    "experiments",
    "pack_experiment",
    "run_experiment",
    "stored",
]

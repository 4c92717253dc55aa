"""Named grids of runs, the profiles they come in, and their results."""

from lookahead.experiments.catalogue import EXPERIMENTS, all_experiments, find_experiment
from lookahead.experiments.experiment import Experiment
from lookahead.experiments.profiles import PROFILES
from lookahead.experiments.runner import Outcome, pack_experiment, run_experiment
from lookahead.experiments.seeds import Seeds, stored

__all__ = [
    "EXPERIMENTS",
    "PROFILES",
    "Experiment",
    "Outcome",
    "Seeds",
    "all_experiments",
    "find_experiment",
    "pack_experiment",
    "run_experiment",
    "stored",
]

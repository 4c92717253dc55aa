# A job a run, for those who outgrow one machine. The store says what is missing; the times of files say nothing.
#
#   snakemake -c2 --config experiments=direction,hints profile=census               two at a time
#   snakemake -c4 --config experiments=direction profile=paper                      on four GPUs
#   snakemake --profile clusters/slurm --config experiments=direction profile=paper on a Slurm cluster
#
# Targets of their own: chapters (executes them), site (and builds it); the experiments that are named come first.

import os
import shlex
import shutil
import subprocess
import sys
import uuid

from snakemake.exceptions import WorkflowError

SETTINGS = ("experiments", "profile", "retry")
YES, NO = {"yes", "true", "on", "1"}, {"no", "false", "off", "0", "none", "null", "~", ""}


def setting(name):
    """What --config says, as it is written there (Snakemake makes a number of 2024_10), or else a file of settings."""
    written = dict(entry.split("=", 1) for entry in workflow.config_settings.config_args or ())
    return written.get(name, config.get(name))


def names():
    """The experiments."""
    said = setting("experiments") or []
    said = said.replace(",", " ").split() if isinstance(said, str) else said
    if not isinstance(said, list) or not all(isinstance(name, str) for name in said):
        raise WorkflowError(f"experiments are names, not {said!r}: put it in quotation marks")
    return said


def retry():
    """The option that says whether what failed before is tried again."""
    said = str(setting("retry")).lower()
    if said not in YES | NO:
        raise WorkflowError(f"retry is yes or no, not {said!r}")
    return "--retry" if said in YES else ""


if unknown := sorted(set(config) - set(SETTINGS)):
    raise WorkflowError(f"unknown in --config: {', '.join(unknown)}; known: {', '.join(SETTINGS)}")

PYTHON = shlex.quote(sys.executable)
LOOKAHEAD = f"{PYTHON} -m lookahead.cli"
NAMES = names()
PROFILE = f"--profile={shlex.quote(str(setting('profile') or 'quick'))}"
RETRY = retry()

# Marks what this call has done, and goes with it. Jobs on a cluster inherit the name.
MARKS = os.environ.setdefault("LOOKAHEAD_MARKS", f".snakemake/marks/{uuid.uuid4().hex}")


def missing(name):
    """The ids of an experiment's runs that are not stored, or not current."""
    command = f"{LOOKAHEAD} status {PROFILE} --missing -- {shlex.quote(name)}"
    asked = subprocess.run(command, shell=True, stdout=subprocess.PIPE, text=True)
    if asked.returncode:
        raise WorkflowError(f"lookahead cannot say what is missing of {name}")
    return asked.stdout.split()


# Jobs on a cluster read this file, too; they do not plan.
MISSING = {name: missing(name) for name in NAMES} if workflow.is_main_process else {}
PACKED = [f"{MARKS}/packed/{name}" for name, ids in MISSING.items() if ids]


def experiments(wildcards):
    if workflow.is_main_process and not NAMES:
        raise WorkflowError("name experiments: --config experiments=direction,hints profile=census")
    return PACKED


def gpus():
    """This machine's, as CUDA_VISIBLE_DEVICES names them."""
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu for gpu in given.split(",") if gpu]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], stdout=subprocess.PIPE, text=True).stdout
    return list(range(sum(line.startswith("GPU ") for line in listed.splitlines())))


# A job on this machine takes a GPU that no other has, or waits for one, and sees no other. The lock ends with the job.
# On a cluster the scheduler does this.
GPUS = gpus() if workflow.is_main_process else []
TAKE_A_GPU = f"""
while sleep 0.1; do
    for gpu in {" ".join(map(str, GPUS))}; do
        exec 9> {MARKS}/gpu-$gpu
        flock -n 9 && break 2
    done
done
export CUDA_VISIBLE_DEVICES=$gpu
"""


localrules:
    all,
    pack,


wildcard_constraints:
    name="[^/]+",
    id="[^/]+",


rule all:
    input:
        experiments,


rule train:
    output:
        touch(f"{MARKS}/runs/{{name}}/{{id}}"),
    resources:
        gpu=1,
    shell:
        (TAKE_A_GPU if GPUS else "")
        + "{LOOKAHEAD} run {PROFILE} --only {wildcards.id} --no-pack {RETRY} -- {wildcards.name:q}"


rule pack:
    input:
        lambda wildcards: [f"{MARKS}/runs/{wildcards.name}/{id}" for id in MISSING.get(wildcards.name, [])],
    output:
        touch(f"{MARKS}/packed/{{name}}"),
    shell:
        "{LOOKAHEAD} pack {PROFILE} -- {wildcards.name:q}"


rule chapters:
    input:
        PACKED,
    output:
        touch(f"{MARKS}/chapters"),
    threads: 2
    shell:
        "{PYTHON} -m bookmaker chapters --jobs {threads}"


rule site:
    input:
        f"{MARKS}/chapters",
    shell:
        "{PYTHON} -m bookmaker site"


onsuccess:
    shutil.rmtree(MARKS, ignore_errors=True)


onerror:
    for mark in PACKED:  # what succeeded is packed all the same
        name = os.path.basename(mark)
        if not os.path.exists(mark):
            shell("{LOOKAHEAD} pack {PROFILE} -- {name:q} || true")
    shutil.rmtree(MARKS, ignore_errors=True)

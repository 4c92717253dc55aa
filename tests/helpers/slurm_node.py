"""A Slurm of one node for a test: munged, slurmctld and slurmd in a folder of their own, by any user, not only root."""

import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scontrol", "scancel", "sacct")

CONFIGURATION = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=64000 Gres=gpu:2
PartitionName=all Nodes={host} Default=YES
"""
"""What the node has is what is written here, whatever the machine has."""

GPUS = "AutoDetect=off\nName=gpu File=/dev/null\nName=gpu File=/dev/zero\n"
"""Slurm wants a device file for each, and does not open it."""


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in opened:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in opened]


class Slurm:
    """Starts it, knows in which environment sbatch and its like find it, and stops it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # not pytest's: the name of a socket must be short
        self.daemons: list[subprocess.Popen[bytes]] = []
        self.environment = {**os.environ, "PATH": f"{self.folder}/bin:{PATH}"}
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir()
        host = socket.gethostname().split(".")[0]
        settings = {"host": host, "ports": free_ports(2), "user": getpass.getuser(), "folder": self.folder}
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(**settings))
        (self.folder / "gres.conf").write_text(GPUS)
        (self.folder / "key").write_bytes(secrets.token_bytes(128))
        (self.folder / "key").chmod(0o400)
        # SLURM_CONF would not do: Snakemake's plugin takes it out of the environment of its jobs.
        for name in PROGRAMS[3:]:
            command = f'SLURM_CONF={self.folder}/slurm.conf exec {shutil.which(name, path=PATH)} "$@"'
            client = self.folder / "bin" / name
            client.write_text(f"#!/bin/sh\n{command}\n")
            client.chmod(0o755)

    def start(self) -> None:
        files = {"key-file": "key", **{f"{name}-file": f"munge.{name}" for name in ("pid", "seed", "log")}}
        places = [f"--{option}={self.folder / file}" for option, file in files.items()]
        # --force: the folder is this user's alone
        self._daemon("munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *places)
        self._wait((self.folder / "munge.socket").exists)
        for name in ("slurmctld", "slurmd"):
            self._daemon(name, "-D", "-f", f"{self.folder}/slurm.conf")
        self._wait(lambda: self.say("sinfo", "--noheader", "--format=%T") == "idle")

    def say(self, *command: str) -> str:
        """What a program of Slurm's prints."""
        told = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        return told.stdout.strip()

    def stop(self) -> None:
        if len(self.daemons) == 3:
            self.say("scancel", f"--user={getpass.getuser()}")
            with contextlib.suppress(TimeoutError):
                self._wait(lambda: self.say("squeue", "--noheader") == "")
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder)

    def _daemon(self, name: str, *options: str) -> None:
        with (self.folder / f"{name}.out").open("wb") as out:
            command = [shutil.which(name, path=PATH) or name, *options]
            self.daemons.append(subprocess.Popen(command, stdout=out, stderr=out))

    def _wait(self, until: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not until():
            if time.monotonic() > end:
                outputs = [path.read_text(errors="replace") for path in sorted(self.folder.glob("*.out"))]
                raise TimeoutError("\n".join(["Slurm does not do what it should", *outputs]))
            time.sleep(0.1)


@contextlib.contextmanager
def one_node() -> Iterator[Slurm]:
    """A cluster that is there inside `with`, and gone after it."""
    slurm = Slurm()
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()


def not_installed() -> list[str]:
    """The programs that are missing here."""
    return [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]

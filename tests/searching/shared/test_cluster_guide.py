"""The commands and files of the guide to clusters: they parse, and every option in them exists."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest
import typer
import yaml
from helpers.paths import ROOT

from lightcnn.cli.main import app
from lightcnn.searching.trials.storage_url import STORAGE_VARIABLE

GUIDE = ROOT / "docs" / "guides" / "cluster.md"
FOLDER = GUIDE.with_suffix("")


def require_options(words: list[str]) -> None:
    """Fails if a command has an option that lightcnn does not have."""
    assert words[0] == "lightcnn"
    command = typer.main.get_command(app).commands[words[1]]
    known = {name for param in command.params for name in param.opts}
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= known, given - known


def test_the_commands_of_the_guide_have_known_options() -> None:
    lines = [line for line in GUIDE.read_text().splitlines() if line.startswith("lightcnn ")]
    assert len(lines) >= 3
    for line in lines:
        require_options(shlex.split(line))


def test_the_file_for_slurm_is_a_script_that_hands_signals_to_the_search() -> None:
    path = FOLDER / "search.sbatch"
    subprocess.run(["bash", "-n", str(path)], check=True)
    text = path.read_text().replace("\\\n", " ")
    (line,) = [line for line in text.splitlines() if "lightcnn search" in line]
    words = shlex.split(line)
    assert words[0] == "exec"
    require_options(words[1:])
    settings = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)$", text, re.MULTILINE))
    assert settings["signal"] == "B:TERM@60"
    assert "array" in settings
    assert re.findall(r"export (LIGHTCNN_\w+)=", text) == [STORAGE_VARIABLE]


def test_the_file_for_kubernetes_is_a_job_of_the_search() -> None:
    job = yaml.safe_load((FOLDER / "search.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    require_options(container["command"])
    names = {entry["name"] for entry in container["env"]}
    assert names == {STORAGE_VARIABLE, "OMP_NUM_THREADS", "POD_NAME"}
    used = set(re.findall(r"\$\((\w+)\)", " ".join(container["command"])))
    assert used <= names
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert pod["terminationGracePeriodSeconds"] >= 10


@pytest.mark.parametrize("name", ["search.sbatch", "search.yaml"])
def test_the_guide_links_its_files(name: str) -> None:
    assert f"(cluster/{name})" in GUIDE.read_text()

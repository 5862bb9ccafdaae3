"""The most memory that a process uses for one inference of a network, measured in a new process.

    python -m lightcnn.measurement.memory < TASK.json

prints two numbers of bytes: the peak of the process, and how much of it came after the libraries were loaded.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightcnn.baseline_spec import AnySpec, BaselineSpec
from lightcnn.errors import LightcnnError
from lightcnn.module_spec import ModuleSpec
from lightcnn.onnxfiles.read import Graph
from lightcnn.spec import NetworkSpec

TIMEOUT_SECONDS = 300
ONNX_TASK = "onnx"


@dataclass(frozen=True)
class ResidentMemory:
    """Bytes: `peak` of the whole process, Python and torch included; `network` is what network and inference added."""

    peak: int
    network: int


def spec_memory(spec: AnySpec, *, threads: int) -> ResidentMemory:
    """Peak resident memory of building the network of a spec and running one inference. Raises: LightcnnError."""
    if isinstance(spec, ModuleSpec):
        raise LightcnnError(f"memory of {spec.name}: a module of Python cannot be built in a new process")
    task = {"kind": type(spec).__name__, "spec": spec.model_dump(mode="json"), "threads": threads}
    return _measure_in_new_process(spec.name, task)


def file_memory(path: Path, graph: Graph, *, threads: int) -> ResidentMemory:
    """Peak resident memory of opening an ONNX file with this graph and running one inference. Raises: LightcnnError."""
    shape = graph.images().shape[1:]
    task = {"kind": ONNX_TASK, "path": str(path), "input": shape, "type": graph.kind.str, "threads": threads}
    return _measure_in_new_process(str(path), task)


def _measure_in_new_process(name: str, task: Mapping[str, Any]) -> ResidentMemory:
    command = [sys.executable, "-m", "lightcnn.measurement.memory"]
    try:
        process = subprocess.run(
            command, input=json.dumps(task), capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise LightcnnError(f"memory of {name}: the new process failed: {error}") from None
    peak, network = (int(word) for word in process.stdout.split()[-2:])
    return ResidentMemory(peak, network)


def _main() -> None:
    """Reads the task from stdin and prints the two numbers."""
    task = json.load(sys.stdin)
    before, after = (_file_peaks if task["kind"] == ONNX_TASK else _spec_peaks)(task)
    sys.stdout.write(f"{after} {after - before}\n")


def _file_peaks(task: Mapping[str, Any]) -> tuple[int, int]:
    """Peak bytes before the file is opened, and after one inference."""
    import numpy as np

    from lightcnn.onnxfiles.runtime import open_session, session_outputs

    before = _peak()
    session = open_session(task["path"], task["threads"])
    session_outputs(session, np.zeros((1, *task["input"]), task["type"]))
    return before, _peak()


def _spec_peaks(task: Mapping[str, Any]) -> tuple[int, int]:
    """Peak bytes before the network is built, and after one inference."""
    import torch

    from lightcnn.baselines import build_network
    from lightcnn.network import fold

    kind = {spec_type.__name__: spec_type for spec_type in (NetworkSpec, BaselineSpec)}[task["kind"]]
    spec = kind.model_validate_json(json.dumps(task["spec"]))
    torch.set_num_threads(task["threads"])
    with torch.device("meta"):
        build_network(spec, pretrained=False)  # loads the libraries that building needs
    before = _peak()
    model = fold(build_network(spec, seed=0, pretrained=False))
    with torch.inference_mode():
        model(torch.zeros(1, *spec.input))
    return before, _peak()


def _peak() -> int:
    """Peak bytes of this process so far; read from /proc if possible, which counts this program alone."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    _main()

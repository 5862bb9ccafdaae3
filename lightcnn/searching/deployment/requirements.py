"""Whether the networks of a search can be deployed and timed, which is known before any training. No torch."""

from __future__ import annotations

from lightcnn.budget import ONNX_LATENCY, Budget
from lightcnn.device_cost import MAX_DIMENSION, can_be_generated
from lightcnn.errors import InputError
from lightcnn.program import program
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.deployment.names import DeployName


def require_timeable(budget: Budget) -> None:
    """Checks that what runs the networks of a limited latency is installed. Raises: InputError."""
    if ONNX_LATENCY in budget.latencies:
        from lightcnn.onnxfiles.extra import require_onnx

        require_onnx(f"--budget {budget}")


def require_deployable(space: BudgetedSpace, deploy: DeployName | None) -> None:
    """Checks that every network of the space under its budget can be deployed, and that the extra is installed.

    A budget on flash or arena admits only networks that the generated C can hold.
    Raises: InputError.
    """
    if deploy == "onnx-int8":
        from lightcnn.onnxfiles.extra import require_onnx

        require_onnx("--deploy onnx-int8")
    if deploy != "c" or space.budget.limits_device:
        return
    for shape in (space.space.largest(), space.space.largest(lambda total: total.peak_activations)):
        if not can_be_generated(program(space.space.spec(shape))):
            raise InputError(
                f"--deploy c: the space {space.name} has networks with more than {MAX_DIMENSION} channels, rows or "
                "columns, which the generated C cannot hold; limit flash or arena in --budget, or use narrower stages"
            )

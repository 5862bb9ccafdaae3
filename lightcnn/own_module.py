"""An own `torch.nn.Module` as the network of a recipe.

A run holds the weights of the module, but not its code. The module is known only inside `given_module`; outside of
it, the network of such a run cannot be built.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lightcnn.errors import InputError
from lightcnn.module_spec import ModuleSpec
from lightcnn.spec import Shape
from lightcnn.text import first_line

_GIVEN: ContextVar[nn.Module | None] = ContextVar("given_module", default=None)


@contextmanager
def given_module(module: nn.Module | None) -> Iterator[None]:
    """Makes a module known to `build_module` inside this context; None changes nothing. Raises: InputError."""
    if module is None:
        yield
        return
    if not isinstance(module, nn.Module):
        remedy = f"make one: network={module.__name__}()" if isinstance(module, type) else "give a torch.nn.Module"
        kind = f"the class {module.__name__}" if isinstance(module, type) else f"of type {type(module).__name__}"
        raise InputError(f"network: is {kind}, not a module; {remedy}")
    token = _GIVEN.set(module)
    try:
        yield
    finally:
        _GIVEN.reset(token)


def build_module(spec: ModuleSpec) -> nn.Module:
    """A copy of the given module, in training mode. Raises: InputError if none is given, or it cannot be copied."""
    module = _GIVEN.get()
    if module is None:
        raise InputError(
            f"network.module: {spec.module} is a module of Python, whose code is not in the run; give it again from "
            f"Python, with network={spec.module}() for lightcnn.Run.load or lightcnn.train"
        )
    try:
        return copy.deepcopy(module).train()
    except Exception as error:  # whatever the code of a user raises
        raise InputError(f"network={spec.module}: cannot be copied ({first_line(error)})") from error


def module_spec(module: nn.Module, input: Shape, classes: int) -> ModuleSpec:
    """What is known of a module for images of `input` (C, H, W). Raises: InputError if it cannot be trained."""
    name, parameters = type(module).__name__, list(module.parameters())
    if any(is_lazy(tensor) for tensor in (*parameters, *module.buffers())):
        raise InputError(f"network={name}: has lazy layers without shapes; run it on one batch of images first")
    if not any(parameter.requires_grad for parameter in parameters):
        raise InputError(f"network={name}: has no trainable parameters; give a module with some that require gradients")
    if any(tensor.is_meta for tensor in (*parameters, *module.buffers())):
        raise InputError(f"network={name}: has tensors without values, on the meta device; load its weights first")
    if not all(isinstance(value, Tensor) for value in module.state_dict().values()):
        raise InputError(f"network={name}: has extra state (get_extra_state), which is not stored; keep it in buffers")
    devices = {tensor.device for tensor in (*parameters, *module.buffers())}
    if len(devices) > 1:
        listed = " and ".join(sorted(map(str, devices)))
        raise InputError(f"network={name}: has tensors on {listed}; move it to one device with .to('cpu')")
    return ModuleSpec(module=name, input=input, classes=classes, tensors=_tensors(module))


def _tensors(module: nn.Module) -> str:
    """SHA-256 of the names, shapes and types of the tensors of a module."""
    rows = [f"{name} {tuple(tensor.shape)} {tensor.dtype}" for name, tensor in sorted(module.state_dict().items())]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()

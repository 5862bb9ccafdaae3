"""Bytes on disk, computed without writing a file."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save
from torch import nn

from lightcnn.counting.sizes import SAFETENSORS_TYPES, saved_bytes
from lightcnn.errors import InputError


def test_the_computed_bytes_of_any_module_are_those_of_its_file() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).double()
    assert saved_bytes(model.state_dict()) == len(save(dict(model.state_dict())))
    kinds = {f"tensor{place}": torch.zeros(place + 1, dtype=kind) for place, kind in enumerate(SAFETENSORS_TYPES)}
    header = json.loads(save(kinds)[8:].partition(b"}}")[0] + b"}}")
    assert list(header) == list(reversed(kinds))
    assert saved_bytes(kinds) == len(save(kinds))
    with pytest.raises(InputError, match=r"tensor w is torch\.complex128, which a safetensors file cannot hold"):
        saved_bytes({"w": torch.zeros(1, dtype=torch.complex128)})

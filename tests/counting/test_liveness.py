"""How much activation memory is needed at the same time."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from lightcnn.counting.count import count
from lightcnn.counting.liveness import liveness, moved_bytes, peak
from lightcnn.counting.trace import trace


def test_the_peak_of_a_chain_is_its_widest_step() -> None:
    chain = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1), nn.Sigmoid())
    live = liveness(trace(chain, (3, 5, 5)))
    assert [step.elements for step in live] == [11 * 25, 8 * 25, 10 * 25, 2 * 25]
    assert peak(live).bytes == 4 * 11 * 25


def test_bytes_that_operators_in_place_read_and_write_are_not_moved() -> None:
    chain = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1), nn.Flatten())
    assert moved_bytes(trace(chain, (3, 5, 5))) == 4 * 25 * ((3 + 8) + (8 + 2))
    assert count(chain, (3, 5, 5)).moved_bytes == 4 * 25 * 21 + 4 * (24 + 8 + 16 + 2)


def test_a_buffer_is_alive_until_its_last_read_and_an_unread_buffer_is_not_stored() -> None:
    class Skip(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = functional.max_pool2d(x, 2)
            return functional.relu(y) + y

    live = liveness(trace(Skip(), (1, 4, 4)))
    assert [step.elements for step in live] == [16 + 4, 4 + 4, 4 + 4 + 4]

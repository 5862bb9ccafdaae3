"""The training loop that `train`, `search` and `ablate` share.

Begin with `loop.fit`. From the bottom up: losses, optimizers and schedules; loss_tally and distillation; state, which
holds everything that changes while a network is trained; loop, which trains; history, which epochs there were and which
is the best; checkpoints, which write state and history to disk.
"""

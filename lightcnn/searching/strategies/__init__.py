"""Search strategies: how the next network is proposed.

Begin with `names`, the list of strategies that the command line and the settings use. `base` has what all strategies
share and the Optuna sampler that runs one; `surrogate` with its `gaussian_process`, `evolution`, `tpe` and `random` are
the strategies; `table` maps each name to its function. A new strategy is one module, its name in `names` and its line
in `table`. `predictor` predicts, for all strategies, how networks will score at the end of the final training.
"""

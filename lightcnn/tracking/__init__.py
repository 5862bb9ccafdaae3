"""Experiment trackers (`--log`): TensorBoard, MLflow and Weights & Biases.

Read `trackers` first: jobs send the values of a run to it, and it hands them to a thread for each tracker
(`background`). What a tracker has received is in a `journal` in the run folder, so that a resumed run continues where
it was. `tracker` is what a tracker must offer, and `tensorboard`, `mlflow` and `wandb` are those that do: each is the
only module that imports its library. `values` takes parameters and scores from documents, and `names` is what the
command line needs.
"""

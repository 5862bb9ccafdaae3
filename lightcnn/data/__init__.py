"""Labelled images: from a SOURCE to the batches of a training.

Begin with `dataset.py`, the type that all sources return, and `pipeline.py`, which a training reads. The modules build
on each other in this order:

- `files/` decodes untrusted files; `parallel.py` reads many of them, `image_files.py` holds them, `dataset.py`
  labelled images; `shards/` finds them in tar files; `sources/` loads a SOURCE as a dataset.
- `grouping/` finds images that belong together; `split.py` makes training, validation and test set, disjoint by group.
- `preparation/` has the steps of a preprocessing on arrays, without torch and pydantic, and `preprocess.py` the rule of
  a run; `images.py` and `tensors.py` are its tensor part; `store.py` keeps prepared images; `stream.py` prepares a long
  list of files one by one, without torch.
- `randomness.py` and `augmentation/` change training images; `contact_sheets.py` shows the results.
- `pipeline.py` joins dataset, split and preprocessing.
"""

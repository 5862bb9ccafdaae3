"""Tar shards in the convention of WebDataset: an image, its label and its group share a name up to the first dot."""

from __future__ import annotations

import numpy as np

from lightcnn.data.dataset import Dataset, assemble
from lightcnn.data.files.spelling import require_class_names, with_one_spelling
from lightcnn.data.grouping.identity_columns import identity_warnings
from lightcnn.data.shards.index import index_shards
from lightcnn.data.sources.manifest import label_order, spelling_warnings
from lightcnn.data.sources.read_files import read
from lightcnn.progress import Progress, no_progress


def read_shards(source: str, *, skip_corrupt: bool = False, progress: Progress = no_progress) -> Dataset:
    """Reads every image of the shards that `source` names. Raises: DataError."""
    index = index_shards(source, progress=progress)
    require_class_names(f"data {source}: label", index.labels)
    classes = tuple(sorted(index.labels, key=label_order(list(index.labels))))
    given_groups = index.groups(source)
    reading = read(source, index.files, skip_corrupt=skip_corrupt, progress=progress)
    usable = reading.positions.tolist()
    codes = index.codes[reading.positions]
    groups, spellings = with_one_spelling([given_groups[i] for i in usable]) if given_groups else ([], [])
    columns = {name: [values[i] for i in usable] for name, values in index.identities().items()}
    labels = list(index.labels)
    return assemble(
        source,
        reading.images,
        np.array([classes.index(label) for label in labels], dtype=np.int64)[codes],
        classes,
        paths=reading.images.files.names,
        split=index.split[reading.positions],
        groups=np.array(groups) if groups else None,
        groups_from="manifest" if groups else "none",
        skipped=reading.skipped,
        warnings=(
            *spelling_warnings(spellings),
            *identity_warnings(columns, [labels[code] for code in codes.tolist()], groups),
            *index.warnings(),
        ),
    )

"""Images in tar shards in the convention of WebDataset: indexed once, then read at random.

Begin with `samples.py`, which turns the members of a shard into labelled images. The modules build on each other in
this order: `shard_names.py` expands what a user names; `archive.py` lists the members of an untrusted tar file;
`labels.py` reads what they state, `samples.py` groups them, `shard_files.py` decodes them like files, and `index.py`
collects all of it. `lightcnn.data.sources.shards` makes a dataset of
them.

WebDataset's convention is read by own code. The library `webdataset` (version 1.0.2) reads a tar file as a stream
(`tarfile.open(mode="r|*")`) and shuffles within a buffer of samples, so the order of a training depends on the size of
the buffer and on how shards are distributed over workers, and no image can be read by its number: neither splits by
group nor batches addressed by (seed, epoch, step) are possible. It also runs names that begin with `pipe:` as shell
commands.
`litdata` reads its own format of chunks, so that users would have to convert their shards.
"""

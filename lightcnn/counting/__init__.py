"""What any network costs, counted without a clock: parameters, multiply-adds, memory, bytes on disk.

Begin with `count`, which counts a module for one image. It builds on, in this order:

1. `copies`: copies of a model in eval mode, so that the caller's model stays as it is; `passes`: the same random
   numbers and no fused kernels in every pass; `macs`: the formulas of operators.
2. `trace`: one inference in which `recorder` records every operator with its multiply-adds and the buffers it reads
   and writes.
3. `folding`: finds each BatchNorm that can be folded into its convolution, and builds the deployed network.
4. `liveness`: from the trace, how much activation memory is needed at the same time.
5. `layers`: the trace summed up per module.
6. `other_tools` and `reconcile`: what fvcore, thop and torch count, and why it differs.
7. `sizes`: bytes of weights in memory and on disk.

`stages` summarises a spec or a baseline by its parts, for the reports of search and training.
"""

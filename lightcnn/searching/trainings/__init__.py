"""How a search trains its networks.

Begin with `jobs`: what is sent to a process that trains, and what it answers. `training` runs one job on the images in
`data`; `executors` runs jobs in this process, `pool` in worker processes, whose program is `worker`; `files` names what
trainings leave on disk. `speed` makes the plan of a search. `evaluator` scores candidates at rungs, `finals` trains the
most promising ones to the end, `choice` decides which weights are delivered, and `repeats` trains them with other
seeds.
"""

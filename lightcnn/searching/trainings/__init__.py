"""How a search trains its networks. `training` trains one up to a step; `data` holds the images that it needs;
`executors` runs trainings in this process, `pool` in worker processes, whose program is `worker`.
"""

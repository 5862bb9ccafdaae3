"""One search on several machines, which share an Optuna storage: PostgreSQL, or Optuna's gRPC proxy.

Begin with `job`: what a machine does from joining the study to the end. One machine, the leader, runs the same session
as a search on one machine; its trainings are jobs in the storage, which all machines claim. In the order in which
modules build on each other: `settings`, what the user gives; `place`, the connection; `members`, who takes part and who
leads; `job_queue`, the jobs; `states`, where trainings are left for other machines; `local_work`, the jobs on this
machine; `executor`, through which the leader hands out jobs; and `job`.
"""

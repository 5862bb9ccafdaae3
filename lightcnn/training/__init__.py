"""`lightcnn train`: from a recipe to the run folder of one training, or of several over folds and seeds.

Begin with `job.run`. From the bottom up: progress, which jobs report to; recipe_argument, from RECIPE to a recipe;
settings, the input of a job; checks, of a recipe against its data; setup, which reads the data; resume, which checks a
run folder; report/, which writes the results; session, one training; repeats, several trainings; job, which chooses
between them; terminal, the live view.
"""

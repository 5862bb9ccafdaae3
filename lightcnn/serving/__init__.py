"""`lightcnn serve`: a page and a JSON API that predict and explain images, for a person who decides.

Begin with `job`, which opens the network, binds the port and drains at the end. `settings` holds the limits, `app` puts
the server together: `guard` checks every request before anything of it is read, `uploads` reads images into memory
only, `batching` runs the network on whatever waits, `explainers` explains, `facts` describes the network, `api`
answers and `openapi` describes the API. `page` makes the page of the files in `static/`.
"""

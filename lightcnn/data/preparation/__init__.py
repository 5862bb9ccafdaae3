"""The steps from a decoded image to pixels that are resized: NumPy alone, and OpenCV for the steps that need it.

Begin with `steps.py`: channels, square, and local contrast. `background.py` removes the background, and `resize.py`
resizes without torch. Nothing here loads torch or pydantic, since exported files are read without them.
"""

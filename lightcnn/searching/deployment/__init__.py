"""What the networks of a search are deployed as, by which its finalists are then judged.

`names` has their names, `requirements` what each refuses, `quantization` what a trained network predicts in 8 bits.
"""

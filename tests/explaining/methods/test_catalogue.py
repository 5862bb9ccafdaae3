"""The table of methods, and the options that reach them."""

from __future__ import annotations

import pytest

from lightcnn.errors import InputError
from lightcnn.explaining.methods.catalogue import METHODS, MethodOptions, make_method, methods_that_need


def test_an_unknown_method_names_the_closest_one() -> None:
    with pytest.raises(InputError, match=r"--method: 'gradcm' is not one of gradcam, .* did you mean 'gradcam'\?$"):
        make_method("gradcm")
    assert [make_method(name).name for name in METHODS] == list(METHODS)


def test_options_reach_the_methods() -> None:
    options = MethodOptions(layer="conv", baseline="blur", smooth=3, samples=70, segments=9, seed=5)
    assert make_method("layercam", options).layer == "conv"
    ig, lime = make_method("ig", options), make_method("lime", options)
    assert (ig.baseline, ig.smooth, ig.seed) == ("blur", 3, 5)
    assert (lime.samples, lime.segments, lime.seed) == (70, 9, 5)


def test_methods_are_listed_by_what_they_need() -> None:
    assert methods_that_need("gradients", "predictions") == "ig, lime or occlusion"
    assert methods_that_need("predictions") == "lime or occlusion"
    assert methods_that_need("gradients") == "ig"

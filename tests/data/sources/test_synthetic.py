"""The options of `synthetic-lesions`, and the data set that they give."""

from __future__ import annotations

import pytest

from lightcnn.data.sources.load import describe, load
from lightcnn.data.sources.synthetic import SyntheticOptions, options_of
from lightcnn.errors import DataError
from lightcnn.output.caveats import STAND_IN_NOTE


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("synthetic-lesions", SyntheticOptions()),
        ("synthetic-lesions:count=600,size=96,classes=4,seed=1,shortcut", SyntheticOptions(600, 96, 4, 1, True)),
        ("synthetic-lesions: seed = 7 , shortcut", SyntheticOptions(seed=7, shortcut=True)),
    ],
)
def test_options_of_synthetic_lesions(source, options):
    assert options_of(source) == options
    assert describe(source) == (3, options.classes, options.size)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "'' is not an option.*; give count=NUMBER, size=NUMBER, classes=NUMBER, seed=NUMBER, shortcut"),
        ("sise=96", r"'sise' is not an option; did you mean 'size'\?"),
        ("short", r"'short' is not an option; did you mean 'shortcut'\?"),
        ("size=96,", "'' is not an option"),
        ("size=big", "'size' is 'big'; give a whole number from 16 to 1,024"),
        ("size=1_00", "'size' is '1_00'; give a whole number"),
        ("size=-5", "'size' is '-5'; give a whole number"),
        ("size", "'size' is ''; give a whole number"),
        ("classes=7", "'classes' is '7'; give a whole number from 2 to 6"),
        ("seed=1,seed=2", "'seed' is given twice"),
        ("shortcut,shortcut", "'shortcut' is given twice"),
        ("shortcut=yes", "'shortcut' takes no value"),
        ("count=100000,size=512", "104.9 GB in memory, more than 4; generate fewer or smaller"),
    ],
)
def test_a_faulty_option_is_one_clear_error(options, message):
    for function in (load, describe):
        with pytest.raises(DataError, match=message) as caught:
            function(f"synthetic-lesions:{options}")
        assert "\n" not in str(caught.value)


def test_synthetic_lesions_have_patients_and_masks_and_are_a_stand_in():
    source = "synthetic-lesions:count=30,size=20,classes=3,seed=9"
    data = load(source)
    assert (data.channels, len(data.classes), data.size) == describe(source)
    assert (data.source, len(data), data.stand_in, data.groups_from) == (source, 30, True, "source")
    assert data.note == STAND_IN_NOTE
    assert 3 <= len(set(data.groups)) < 30
    assert data.masks.shape == (30, 20, 20)
    assert load(source).fingerprint == data.fingerprint

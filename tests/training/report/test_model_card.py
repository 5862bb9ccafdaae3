"""The model card and the words of a report: well-formed whatever the names are, and nothing told that is not known."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML
from sklearn.datasets import load_digits

import lightcnn
from lightcnn.baseline_spec import BaselineSpec
from lightcnn.data.preprocess import Preprocess
from lightcnn.evaluation.scores import scores
from lightcnn.evaluation.thresholds import operating_points
from lightcnn.output.markdown import escape, table
from lightcnn.recipe import Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.training.report import wording
from lightcnn.training.report.model_card import LISTED, NOT_FOR_DIAGNOSIS, TYPES, CardFacts, model_card

HOSTILE = (
    "<script>alert(1)</script>",
    "a\n---\nlicense: mit\n# title",
    "x | y `z` *b* [l](http://e.vil) ${m} @me www.e.vil",
)
NETWORK = {"input": [1, 8, 8], "stages": [{"kind": "conv", "width": 4}], "classes": 2}
COST = {"params": 10, "macs": 20, "weight_bytes": {"int8": 30}}


@cache
def scored(classes: tuple[str, ...], count: int) -> dict[str, Any]:
    """Scores of answers drawn at random; to be read only."""
    kinds, random = len(classes), np.random.default_rng(0)
    labels, groups = np.arange(count) % kinds, (np.arange(count) // 2).astype(str)
    probabilities = random.dirichlet(np.ones(kinds), count)
    chosen = operating_points(labels, probabilities[:, 1]) if kinds == 2 else {}
    return scores(labels, probabilities, groups=groups, classes=classes, operating=chosen)


def facts(classes: tuple[str, ...] = ("benign", "malignant"), count: int = 60, **changes: Any) -> CardFacts:
    """Of a run with answers drawn at random; `changes` go into the report's data."""
    kinds, test = len(classes), scored(classes, count)
    data = {
        "source": "lesions", "stand_in": False, "fingerprint": "f" * 64, "classes": list(classes),
        "counts": {"train": 200, "val": 40, "test": count}, "groups_shared": 0, "leak_allowed": False, "skipped": 0,
        "note": "", "groups": {"known": True, "source": "names", "why": "a patient's number in every name",
                               "counts": {"train": 70, "val": 20, "test": 30}},
    }  # fmt: skip
    report = {
        "lightcnn": "0", "seed": 0, "seconds": 1.5, "data": data | changes, "network": {"cost": COST}, "epochs": 2,
        "best_epoch": 1, "monitor": "loss", "first_weights": "random weights", "stopped_early": False,
        "class_weights": None, "teacher": None, "metrics": {"val": {}, "test": test},
        "threshold": {"value": 0.25, "rule": "highest"} if kinds == 2 else None,
        "calibration": {"temperature": 1.5, "rule": "lowest", "ece": {"before": 0.2, "after": 0.1},
                        "log_loss": {"before": 0.7, "after": 0.6}},
    }  # fmt: skip
    rule = Preprocess(size=8, channels=1, shorter_side=64, mean=(0.5,), deviation=(0.25,), classes=("a", "b"))
    machine = {"lightcnn": "0", "python": "3", "processor": "Quick 1", "cores": 2,
               "packages": {"torch": "2", "numpy": "2", "scikit-learn": "1"}}  # fmt: skip
    recipe = Recipe.model_validate_json('{"data": "lesions", "network": ' + str(NETWORK).replace("'", '"') + "}")
    return CardFacts(report, recipe, rule, (), "cpu", machine)


def parted(card: bytes) -> tuple[Any, str]:
    """Metadata and body, as Hugging Face parts them."""
    found = re.match(r"\A---\n([\s\S]*?)\n---\n([\s\S]*)\Z", card.decode())
    assert found
    return YAML(typ="safe").load(found[1]), found[2].lstrip()


def test_the_metadata_are_those_of_hugging_face() -> None:
    told = facts()
    metadata, body = parted(model_card(told))
    assert metadata["library_name"] == "lightcnn"
    assert metadata["pipeline_tag"] == "image-classification"
    assert metadata["stand_in"] is False
    assert not metadata.keys() & {"license", "datasets"}
    (model,) = metadata["model-index"]
    (result,) = model["results"]
    assert result["task"]["type"] == "image-classification"
    assert result["dataset"]["split"] == "test"
    test = told.report["metrics"]["test"]
    values = {one["type"]: one["value"] for one in result["metrics"]}
    assert values == {TYPES[key]: test[key]["value"] for key in wording.METRICS}
    assert metadata["metrics"] == list(values)
    accuracy = test["accuracy"]
    assert f"{accuracy['low']:.3f} to {accuracy['high']:.3f}" in result["metrics"][0]["name"]
    assert body.startswith("# A network of lightcnn")
    assert NOT_FOR_DIAGNOSIS in body


def test_a_stand_in_is_loud_and_in_the_metadata() -> None:
    metadata, body = parted(model_card(facts(stand_in=True)))
    assert metadata["stand_in"] is True
    assert "stand-in-data" in metadata["tags"]
    assert body.startswith("> **STAND-IN DATA")


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_outside_stay_text(name: str) -> None:
    clean, _ = parted(model_card(facts()))
    metadata, body = parted(model_card(facts(("benign", name), source=name, note=name)))
    assert metadata.keys() == clean.keys()
    assert "\n" not in metadata["model-index"][0]["results"][0]["dataset"]["name"]
    plain = re.sub(r"\\[\\`*_{}\[\]<>#|~&$@:.]", "", body)
    assert "<" not in plain.replace("\n> **", "")
    assert "](" not in plain and "http://" not in plain and "www." not in plain and "@" not in plain
    assert not re.search(r"^license|^# title", body, re.MULTILINE)
    for line in filter(lambda line: line.startswith("|"), plain.splitlines()):
        assert line.count("|") in (3, 5, 6, 10), line


def test_what_does_not_print_is_spelled_out() -> None:
    assert escape("a\nb\x1b") == "a\\\\nb\\\\x1b"
    assert table(("a", "b"), [("x|y", 1)]).splitlines()[2] == "| x\\|y | 1 |"


def test_what_is_undefined_says_why_and_is_no_number() -> None:
    told = facts()
    labels, probabilities = np.zeros(20, dtype=np.int64), np.tile([0.9, 0.1], (20, 1))
    test = scores(
        labels, probabilities, classes=("benign", "malignant"), operating=operating_points(labels, probabilities[:, 1])
    )
    told.report["metrics"]["test"] = test  # type: ignore[index]
    undefined = {key for key in wording.METRICS if test[key]["value"] is None}
    assert {"sensitivity", "auc", "balanced_accuracy"} <= undefined
    metadata, body = parted(model_card(told))
    types = {one["type"] for one in metadata["model-index"][0]["results"][0]["metrics"]}
    assert types == {TYPES[key] for key in wording.METRICS if key not in undefined}
    rows = {one.name: one for one in wording.told(told.report)}
    for key in undefined:
        row = rows[wording.METRICS[key]]
        assert row.value == f"undefined: {test[key]['undefined']}"
        assert (row.interval, row.meaning) == ("", "")
        assert f"| {row.name} | {escape(row.value)} |  |  |" in body
    assert "too few to say anything" in body


def test_a_reader_is_told_how_many_of_a_hundred() -> None:
    told = facts()
    test = told.report["metrics"]["test"]
    rows = {one.name: one.meaning for one in wording.told(told.report)}
    found, spared = (wording.hundred(test[key]["value"]) for key in ("sensitivity", "specificity"))
    assert rows["sensitivity (recall)"] == f"of 100 images of malignant {found} are found"
    assert rows["specificity"] == f"of 100 images of benign {spared} are not taken for malignant"
    assert wording.hundred(0.25) == "25"
    assert wording.hundred(0.953) == "95.3"
    several = {one.name: one.meaning for one in wording.told(facts(("a", "b", "c")).report)}
    assert several["sensitivity (recall)"].endswith("are found (mean over the classes)")
    assert wording.operating(facts(("a", "b", "c")).report) == []
    assert [row[0] for row in wording.operating(told.report)] == [
        f"{rate} of {target}" for rate in ("specificity", "sensitivity") for target in ("0.90", "0.95")
    ]


def test_of_many_classes_the_card_has_the_ones_least_found() -> None:
    names = tuple(f"kind {number}" for number in range(LISTED + 5))
    told = facts(names, count=4 * len(names))
    rows = wording.by_class(told.report, LISTED)
    assert len(rows) == LISTED
    assert len(wording.by_class(told.report)) == len(names)
    values = {name: of["sensitivity"]["value"] for name, of in told.report["metrics"]["test"]["per_class"].items()}
    listed = [values[row[0]] for row in rows]
    assert listed == sorted(listed)
    assert max(listed) <= min(values[name] for name in set(names) - {row[0] for row in rows})
    assert "and 15 more" in model_card(told).decode()


@pytest.mark.parametrize(
    ("given", "reading", "rule"),
    [
        ((), {}, "cut by lightcnn by group from seed 0, stratified by class: train 66.7 %, val 13.3 %, test 20.0 %"),
        ((), {"split_seed": 7}, "cut by lightcnn by group from seed 7, stratified"),
        (("train", "test"), {"split_seed": 7}, "as the source gives them .*; val cut .* by lightcnn, seed 7"),
        (("test",), {}, "cut by lightcnn by group from seed 0"),
        (("train", "test"), {"folds": 3, "fold": 2, "split_seed": 4},
         "fold 2 of 3, cut by lightcnn by group from seed 4, stratified by class: train 66.7"),
        (("train", "test"), {}, r"as the source gives them \(train, test\); val cut from its train side by lightcnn"),
        (("train", "val", "test"), {}, r"as the source gives them \(train, val, test\); no group"),
        (("train", "test"), {"resplit": True}, "cut by lightcnn by group from seed 0"),
    ],
)  # fmt: skip
def test_the_rule_of_the_split_is_told(given: tuple[str, ...], reading: dict[str, Any], rule: str) -> None:
    told = facts()
    recipe = told.recipe.model_copy(update={"reading": told.recipe.reading.model_copy(update=reading)})
    told = replace(told, given=given, recipe=recipe)
    assert re.match(rule, told.split)
    aside = [limit for limit in told.limits if "was set aside" in limit]
    assert len(aside) == (bool(given) and (given == ("test",) or "resplit" in reading or "folds" in reading))
    assert all(f"({told.set_aside})" in limit for limit in aside)


@pytest.mark.parametrize(("folds", "seeds"), [(2, 2), (0, 2)])
def test_all_parts_have_a_card_and_each_tells_its_own_split(folds: int, seeds: int, tmp_path) -> None:
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 255, (60, 8, 8), dtype=np.uint8), np.arange(60) % 2
    np.savez(tmp_path / "squares.npz", train_images=images[:40], train_labels=labels[:40], test_images=images[40:],
             test_labels=labels[40:])  # fmt: skip
    recipe = Recipe.model_validate({
        "data": str(tmp_path / "squares.npz"), "training": {"epochs": 1, "batch": 8}, "augment": "none",
        "network": {"input": (1, 8, 8), "stages": ({"kind": "conv", "width": 4},), "classes": 2},
    })  # fmt: skip
    made = lightcnn.train(recipe, folds=folds, seeds=seeds, out=tmp_path / "run")
    metadata, body = parted((made.path / "README.md").read_bytes())
    test = made.report["metrics"]["test"]
    told = {one["type"]: one["value"] for one in metadata["model-index"][0]["results"][0]["metrics"]}
    assert (told["accuracy"], told["f1"]) == (test["accuracy"]["value"], test["f1"]["value"])
    assert f"trained {len(made.report['parts'])} times" in body and NOT_FOR_DIAGNOSIS in body
    assert ("Cut into 2 folds stratified by class" in body) == bool(folds)
    assert "groups are not known" in body and str(tmp_path) not in body
    assert (made.path / re.search(r"lightcnn predict (\S+) IMAGE", body)[1] / "weights.safetensors").is_file()
    for part in made.report["parts"]:
        held, counts = Recipe.load(made.path / part["folder"] / "recipe.yaml"), part["counts"]
        card = (made.path / part["folder"] / "README.md").read_text().replace("\\", "")
        seed = held.seed if held.reading.split_seed is None else held.reading.split_seed
        if folds:
            rule = f"fold {part['fold']} of {folds}, cut by lightcnn from seed {seed}, stratified by class: train "
            assert f"test {100 * counts['test'] / sum(counts.values()):.1f} % of the images" in card
        else:
            rule = f"as the source gives them (train, test); val cut from its train side by lightcnn, seed {seed};"
        assert f"| split | {rule}" in card
        assert f"| assignment to partitions | {rule}" in card
        assert ("The split that the source gives was set aside (--folds)." in card) == bool(folds)
        assert str(tmp_path) not in card
        assert "on squares.npz (fingerprint " in card


def test_a_card_has_names_and_no_paths() -> None:
    told = facts(source="/home/someone/scans/lesions.csv")
    told.report.update(teacher="/home/someone/runs/large", first_weights="weights of /home/someone/w.safetensors")  # type: ignore[attr-defined]
    network = BaselineSpec(baseline="vgg16", input=(3, 32, 32), classes=2, weights="/home/someone/w.safetensors")
    card = model_card(replace(told, recipe=told.recipe.model_copy(update={"network": network}))).decode()
    assert "someone" not in card
    assert "lesions.csv (fingerprint ffffffffffffffff)" in card.replace("\\", "")
    assert "| teacher | large |" in card and "weights of w.safetensors" in card.replace("\\", "")
    metadata, _ = parted(card.encode())
    dataset = metadata["model-index"][0]["results"][0]["dataset"]
    assert (dataset["name"], dataset["revision"]) == ("lesions.csv", "f" * 64)
    named = model_card(facts(source="synthetic-lesions:count=60,size=16")).decode()
    assert "on synthetic-lesions:count=60,size=16. Test" in named.replace("\\", "")


def test_limits_name_what_is_wrong_with_the_data() -> None:
    unknown = facts().report["data"]["groups"] | {"known": False}
    few = facts(count=6, groups=unknown, leak_allowed=True, groups_shared=3, skipped=7)
    limits = "\n".join(few.limits)
    for text in ("groups are not known", "3 groups have images in more", "7 files could not be read", "too few"):
        assert text in limits
    assert "groups are not known" not in "\n".join(facts().limits)


def test_the_card_is_there_before_the_report(tmp_path, monkeypatch) -> None:
    digits = load_digits(n_class=2)
    np.savez(tmp_path / "two.npz", train_images=digits.images.astype(np.uint8) * 15, train_labels=digits.target,
             class_names=np.array(HOSTILE[:2]))  # fmt: skip
    (tmp_path / "two.yaml").write_text(
        f"data: {tmp_path / 'two.npz'}\nnetwork: {{input: [1, 8, 8], stages: [{{kind: conv, width: 4}}], classes: 2}}\n"
        "training: {epochs: 1, batch: 16}\n"
    )
    written: list[str] = []
    write = RunFolder.write_bytes
    monkeypatch.setattr(
        RunFolder, "write_bytes", lambda run, name, content: (written.append(name), write(run, name, content))
    )
    made = lightcnn.train(tmp_path / "two.yaml", out=tmp_path / "run")
    assert written[-2:] == ["README.md", "report.json"]
    metadata, body = parted((made.path / "README.md").read_bytes())
    accuracy = metadata["model-index"][0]["results"][0]["metrics"][0]
    assert accuracy["value"] == made.report["metrics"]["test"]["accuracy"]["value"]
    assert "<script" not in body.replace("\\<", "")
    page = (made.path / "report.html").read_text()
    assert "<script" not in page
    assert "of 100 images" in page and "95 % interval" in page and "expected calibration error" in page

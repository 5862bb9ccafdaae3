"""The model card and the wording of a report: well-formed for any names, and without anything unknown."""

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
from lightcnn.output.caveats import NOT_FOR_DIAGNOSIS
from lightcnn.output.markdown import escape, table
from lightcnn.recipe import Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.training.report import wording
from lightcnn.training.report.card_facts import CardFacts
from lightcnn.training.report.model_card import MAX_CLASS_ROWS, METRIC_TYPES, model_card

pytestmark = pytest.mark.usefixtures("undrawn_charts")

UNTRUSTED_NAMES = (
    "<script>alert(1)</script>",
    "a\n---\nlicense: mit\n# title",
    "x | y `z` *b* [l](http://e.vil) ${m} @me www.e.vil",
)
NETWORK = {"input": [1, 8, 8], "stages": [{"kind": "conv", "width": 4}], "classes": 2}
COST = {"params": 10, "macs": 20, "weight_bytes": {"int8": 30}}


@cache
def scored(classes: tuple[str, ...], count: int) -> dict[str, Any]:
    """Scores of random predictions; cached, so do not change them."""
    kinds, random = len(classes), np.random.default_rng(0)
    labels, groups = np.arange(count) % kinds, (np.arange(count) // 2).astype(str)
    probabilities = random.dirichlet(np.ones(kinds), count)
    chosen = operating_points(labels, probabilities[:, 1]) if kinds == 2 else {}
    return scores(labels, probabilities, groups=groups, classes=classes, operating=chosen)


def facts(classes: tuple[str, ...] = ("benign", "malignant"), count: int = 60, **changes: Any) -> CardFacts:
    """The facts of a run with random predictions; `changes` replace values in the `data` of the report."""
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
    preprocess = Preprocess(size=8, channels=1, shorter_side=64, mean=(0.5,), deviation=(0.25,), classes=("a", "b"))
    machine = {"lightcnn": "0", "python": "3", "processor": "Quick 1", "cores": 2,
               "packages": {"torch": "2", "numpy": "2", "scikit-learn": "1"}}  # fmt: skip
    recipe = Recipe.model_validate_json('{"data": "lesions", "network": ' + str(NETWORK).replace("'", '"') + "}")
    return CardFacts(report, recipe, preprocess, (), "cpu", machine)


def split_card(card: bytes) -> tuple[Any, str]:
    """Metadata and body, split as Hugging Face does."""
    match = re.match(r"\A---\n([\s\S]*?)\n---\n([\s\S]*)\Z", card.decode())
    assert match
    return YAML(typ="safe").load(match[1]), match[2].lstrip()


def test_the_metadata_follow_hugging_face() -> None:
    card_facts = facts()
    metadata, body = split_card(model_card(card_facts))
    assert metadata["library_name"] == "lightcnn"
    assert metadata["pipeline_tag"] == "image-classification"
    assert metadata["stand_in"] is False
    assert not metadata.keys() & {"license", "datasets"}
    (model,) = metadata["model-index"]
    (result,) = model["results"]
    assert result["task"]["type"] == "image-classification"
    assert result["dataset"]["split"] == "test"
    test = card_facts.report["metrics"]["test"]
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values == {METRIC_TYPES[key]: test[key]["value"] for key in wording.METRICS}
    assert metadata["metrics"] == list(values)
    accuracy = test["accuracy"]
    assert f"{accuracy['low']:.3f} to {accuracy['high']:.3f}" in result["metrics"][0]["name"]
    assert body.startswith("# A network of lightcnn")
    assert NOT_FOR_DIAGNOSIS in body


def test_a_stand_in_is_in_the_first_line_and_in_the_metadata() -> None:
    metadata, body = split_card(model_card(facts(stand_in=True)))
    assert metadata["stand_in"] is True
    assert "stand-in-data" in metadata["tags"]
    assert body.startswith("> **STAND-IN DATA")


@pytest.mark.parametrize("name", UNTRUSTED_NAMES)
def test_untrusted_names_stay_text(name: str) -> None:
    clean, _ = split_card(model_card(facts()))
    metadata, body = split_card(model_card(facts(("benign", name), source=name, note=name)))
    assert metadata.keys() == clean.keys()
    assert "\n" not in metadata["model-index"][0]["results"][0]["dataset"]["name"]
    plain = re.sub(r"\\[\\`*_{}\[\]<>#|~&$@:.]", "", body)
    assert "<" not in plain.replace("\n> **", "")
    assert "](" not in plain and "http://" not in plain and "www." not in plain and "@" not in plain
    assert not re.search(r"^license|^# title", body, re.MULTILINE)
    for line in filter(lambda line: line.startswith("|"), plain.splitlines()):
        assert line.count("|") in (3, 5, 6, 10), line


def test_unprintable_characters_are_escaped() -> None:
    assert escape("a\nb\x1b") == "a\\\\nb\\\\x1b"
    assert table(("a", "b"), [("x|y", 1)]).splitlines()[2] == "| x\\|y | 1 |"


def test_an_undefined_score_has_a_reason_instead_of_a_number() -> None:
    card_facts = facts()
    labels, probabilities = np.zeros(20, dtype=np.int64), np.tile([0.9, 0.1], (20, 1))
    test = scores(
        labels, probabilities, classes=("benign", "malignant"), operating=operating_points(labels, probabilities[:, 1])
    )
    card_facts.report["metrics"]["test"] = test  # type: ignore[index]
    undefined = {key for key in wording.METRICS if test[key]["value"] is None}
    assert {"sensitivity", "auc", "balanced_accuracy"} <= undefined
    metadata, body = split_card(model_card(card_facts))
    types = {metric["type"] for metric in metadata["model-index"][0]["results"][0]["metrics"]}
    assert types == {METRIC_TYPES[key] for key in wording.METRICS if key not in undefined}
    rows = {text.name: text for text in wording.score_texts(card_facts.report)}
    for key in undefined:
        row = rows[wording.METRICS[key]]
        assert row.value == f"undefined: {test[key]['undefined']}"
        assert (row.interval, row.meaning) == ("", "")
        assert f"| {row.name} | {escape(row.value)} |  |  |" in body
    assert "too few for a reliable result" in body


def test_scores_are_explained_per_hundred_images() -> None:
    card_facts = facts()
    test = card_facts.report["metrics"]["test"]
    rows = {text.name: text.meaning for text in wording.score_texts(card_facts.report)}
    sensitivity, specificity = (wording.per_hundred(test[key]["value"]) for key in ("sensitivity", "specificity"))
    assert rows["sensitivity (recall)"] == f"{sensitivity} of 100 images of malignant are recognised"
    assert rows["specificity"] == f"{specificity} of 100 images of benign are not classified as malignant"
    assert wording.per_hundred(0.25) == "25"
    assert wording.per_hundred(0.953) == "95.3"
    several = {text.name: text.meaning for text in wording.score_texts(facts(("a", "b", "c")).report)}
    assert several["sensitivity (recall)"].endswith("are recognised (mean over the classes)")
    assert wording.threshold_rows(facts(("a", "b", "c")).report) == []
    assert [row[0] for row in wording.threshold_rows(card_facts.report)] == [
        f"{rate} of {target}" for rate in ("specificity", "sensitivity") for target in ("0.90", "0.95")
    ]


def test_a_card_of_many_classes_lists_those_with_the_lowest_sensitivity() -> None:
    names = tuple(f"kind {number}" for number in range(MAX_CLASS_ROWS + 5))
    card_facts = facts(names, count=4 * len(names))
    rows = wording.class_rows(card_facts.report, MAX_CLASS_ROWS)
    assert len(rows) == MAX_CLASS_ROWS
    assert len(wording.class_rows(card_facts.report)) == len(names)
    values = {
        name: scores["sensitivity"]["value"]
        for name, scores in card_facts.report["metrics"]["test"]["per_class"].items()
    }
    listed = [values[row[0]] for row in rows]
    assert listed == sorted(listed)
    assert max(listed) <= min(values[name] for name in set(names) - {row[0] for row in rows})
    assert "and 15 more" in model_card(card_facts).decode()


@pytest.mark.parametrize(
    ("given", "reading", "rule"),
    [
        ((), {}, "made by lightcnn by group with seed 0, stratified by class: train 66.7 %, val 13.3 %, test 20.0 %"),
        ((), {"split_seed": 7}, "made by lightcnn by group with seed 7, stratified"),
        (("train", "test"), {"split_seed": 7}, "as in the source .*; val made .* by lightcnn, seed 7"),
        (("test",), {}, "made by lightcnn by group with seed 0"),
        (("train", "test"), {"folds": 3, "fold": 2, "split_seed": 4},
         "fold 2 of 3, made by lightcnn by group with seed 4, stratified by class: train 66.7"),
        (("train", "test"), {}, r"as in the source \(train, test\); val made from its training set by lightcnn"),
        (("train", "val", "test"), {}, r"as in the source \(train, val, test\); no group"),
        (("train", "test"), {"resplit": True}, "made by lightcnn by group with seed 0"),
    ],
)  # fmt: skip
def test_the_card_states_how_the_images_were_split(given: tuple[str, ...], reading: dict[str, Any], rule: str) -> None:
    card_facts = facts()
    recipe = card_facts.recipe.model_copy(update={"reading": card_facts.recipe.reading.model_copy(update=reading)})
    card_facts = replace(card_facts, given=given, recipe=recipe)
    assert re.match(rule, card_facts.split)
    ignored = [limit for limit in card_facts.limits if "was not used" in limit]
    assert len(ignored) == (bool(given) and (given == ("test",) or "resplit" in reading or "folds" in reading))
    assert all(f"({card_facts.ignored_split})" in limit for limit in ignored)


@pytest.mark.parametrize(("folds", "seeds"), [(2, 2), pytest.param(0, 2, marks=pytest.mark.long)])
def test_every_part_has_a_card_with_its_own_split(folds: int, seeds: int, tmp_path) -> None:
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 255, (60, 8, 8), dtype=np.uint8), np.arange(60) % 2
    np.savez(tmp_path / "squares.npz", train_images=images[:40], train_labels=labels[:40], test_images=images[40:],
             test_labels=labels[40:])  # fmt: skip
    recipe = Recipe.model_validate({
        "data": str(tmp_path / "squares.npz"), "training": {"epochs": 1, "batch": 8}, "augment": "none",
        "network": {"input": (1, 8, 8), "stages": ({"kind": "conv", "width": 4},), "classes": 2},
    })  # fmt: skip
    trained = lightcnn.train(recipe, folds=folds, seeds=seeds, out=tmp_path / "run")
    metadata, body = split_card((trained.path / "README.md").read_bytes())
    test = trained.report["metrics"]["test"]
    metrics = {metric["type"]: metric["value"] for metric in metadata["model-index"][0]["results"][0]["metrics"]}
    assert (metrics["accuracy"], metrics["f1"]) == (test["accuracy"]["value"], test["f1"]["value"])
    assert f"trained {len(trained.report['parts'])} times" in body and NOT_FOR_DIAGNOSIS in body
    assert ("Split into 2 folds stratified by class" in body) == bool(folds)
    assert "Groups are not known" in body and str(tmp_path) not in body
    assert (trained.path / re.search(r"lightcnn predict (\S+) IMAGE", body)[1] / "weights.safetensors").is_file()
    for part in trained.report["parts"]:
        part_recipe, counts = Recipe.load(trained.path / part["folder"] / "recipe.yaml"), part["counts"]
        card = (trained.path / part["folder"] / "README.md").read_text().replace("\\", "")
        reading = part_recipe.reading
        seed = part_recipe.seed if reading.split_seed is None else reading.split_seed
        if folds:
            rule = f"fold {part['fold']} of {folds}, made by lightcnn with seed {seed}, stratified by class: train "
            assert f"test {100 * counts['test'] / sum(counts.values()):.1f} % of the images" in card
        else:
            rule = f"as in the source (train, test); val made from its training set by lightcnn, seed {seed};"
        assert f"| split | {rule}" in card
        assert f"| assignment to partitions | {rule}" in card
        assert ("The split that the source comes with was not used (--folds)." in card) == bool(folds)
        assert str(tmp_path) not in card
        assert "on squares.npz (fingerprint " in card


def test_a_card_has_names_without_paths() -> None:
    card_facts = facts(source="/home/someone/scans/lesions.csv")
    card_facts.report.update(teacher="/home/someone/runs/large", first_weights="weights of /home/someone/w.safetensors")  # type: ignore[attr-defined]
    network = BaselineSpec(baseline="vgg16", input=(3, 32, 32), classes=2, weights="/home/someone/w.safetensors")
    card = model_card(replace(card_facts, recipe=card_facts.recipe.model_copy(update={"network": network}))).decode()
    assert "someone" not in card
    assert "lesions.csv (fingerprint ffffffffffffffff)" in card.replace("\\", "")
    assert "| teacher | large |" in card and "weights of w.safetensors" in card.replace("\\", "")
    metadata, _ = split_card(card.encode())
    dataset = metadata["model-index"][0]["results"][0]["dataset"]
    assert (dataset["name"], dataset["revision"]) == ("lesions.csv", "f" * 64)
    named = model_card(facts(source="synthetic-lesions:count=60,size=16")).decode()
    assert "on synthetic-lesions:count=60,size=16. Test" in named.replace("\\", "")


def test_the_limits_list_problems_of_the_data() -> None:
    unknown = facts().report["data"]["groups"] | {"known": False}
    few = facts(count=6, groups=unknown, leak_allowed=True, groups_shared=3, skipped=7)
    limits = "\n".join(few.limits)
    for text in (
        "Groups are not known",
        "although 3 groups have images in more than one of its sets",
        "7 files could not be read",
        "too few",
    ):
        assert text in limits
    assert "Groups are not known" not in "\n".join(facts().limits)


def test_the_card_is_written_before_the_report(tmp_path, monkeypatch) -> None:
    digits = load_digits(n_class=2)
    np.savez(tmp_path / "two.npz", train_images=digits.images.astype(np.uint8) * 15, train_labels=digits.target,
             class_names=np.array(UNTRUSTED_NAMES[:2]))  # fmt: skip
    (tmp_path / "two.yaml").write_text(
        f"data: {tmp_path / 'two.npz'}\nnetwork: {{input: [1, 8, 8], stages: [{{kind: conv, width: 4}}], classes: 2}}\n"
        "training: {epochs: 1, batch: 16}\n"
    )
    written: list[str] = []
    write = RunFolder.write_bytes
    monkeypatch.setattr(
        RunFolder, "write_bytes", lambda run, name, content: (written.append(name), write(run, name, content))
    )
    trained = lightcnn.train(tmp_path / "two.yaml", out=tmp_path / "run")
    assert written[-2:] == ["README.md", "report.json"]
    metadata, body = split_card((trained.path / "README.md").read_bytes())
    accuracy = metadata["model-index"][0]["results"][0]["metrics"][0]
    assert accuracy["value"] == trained.report["metrics"]["test"]["accuracy"]["value"]
    assert "<script" not in body.replace("\\<", "")
    page = (trained.path / "report.html").read_text()
    assert page.count("<script") == 1  # that of all pages
    assert "of 100 images" in page and "95 % interval" in page and "expected calibration error" in page

"""Opens what `lightcnn explain` explains; torch is loaded for a run only."""

from __future__ import annotations

from lightcnn.explaining.settings import ExplainSettings
from lightcnn.explaining.setup.explain_setup import ExplainSetup
from lightcnn.exported_metadata import is_exported


def prepare(settings: ExplainSettings) -> ExplainSetup:
    """Opens the run or the file. Raises: InputError if it, a method, the class or the layer cannot be used."""
    if is_exported(settings.run):
        from lightcnn.explaining.setup.file_setup import prepare_file

        return prepare_file(settings)
    from lightcnn.explaining.setup.run_setup import prepare_run

    return prepare_run(settings)

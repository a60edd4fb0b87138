"""A run in the plain parts that exports are made of."""

from typing import Any

from tinyunet import __version__
from tinyunet.export.pipeline import LARGEST_LABEL, Pipeline
from tinyunet.objects.target import CORE, RIM
from tinyunet.runs.config import config_to_dict
from tinyunet.runs.run import Run


def pipeline_of(run: Run, *, licence: str = "") -> Pipeline:
    """All that lies between the pixels of a file and the answer of a run."""
    labelling = run.labelling
    values: tuple[int, ...] = tuple(range(labelling.num_classes))
    if labelling.kind != "rgb" and all(abs(c.value) <= LARGEST_LABEL for c in labelling.classes):
        values = tuple(c.value for c in labelling.classes)
    facts: dict[str, Any] = {
        "version": __version__,
        "licence": licence or None,
        "labelling": labelling.to_dict(),
        "spacing": list(run.config.data.spacing),
    }
    if run.finds_objects:
        facts["objects"] = config_to_dict(run.config.objects)
    return Pipeline(
        model=run.config.model,
        members=(run.variables, *run.others),
        dimensions=run.dimensions,
        channels=run.channels,
        normalisation=run.normalisation,
        names=run.classes,
        temperature=run.temperature,
        values=None if run.finds_objects else values,
        maps={"foreground": (RIM, CORE), "core": (CORE,)} if run.finds_objects else {},
        facts=facts,
    )

"""The data as facts and tables."""

from tinyunet.data.fingerprint import Fingerprint
from tinyunet.data.labelling import BINARY_TASKS, Labelling
from tinyunet.data.split import Split
from tinyunet.runs.page.tables import Cell, Column, Fact, Table, counted, number_text, percent_text

_MOST_SIZES = 6


def data_facts(fingerprint: Fingerprint) -> tuple[Fact, ...]:
    """What the images are."""
    sizes = sorted(fingerprint.sizes.items(), key=lambda item: (-item[1], item[0]))
    shown = [
        "\u00a0×\u00a0".join(map(str, size)) + (f" ({count:,})" if len(sizes) > 1 else "")
        for size, count in sizes[:_MOST_SIZES]
    ]
    if len(sizes) > _MOST_SIZES:
        shown.append(f"and {counted(len(sizes) - _MOST_SIZES, 'other size')}")
    axes = "depth × height × width in voxels" if len(sizes[0][0]) == 3 else "height × width in pixels"
    stored = " or ".join(map(str, fingerprint.stored_channels))
    rule = fingerprint.channels
    why = ", an alpha channel that says nothing dropped" * rule.drop_alpha
    why += ", equal red, green and blue taken as one" * rule.collapse_grey
    return (
        Fact("Images", f"{fingerprint.images:,}", f"{fingerprint.labelled:,} of them with a mask"),
        Fact("Sizes", ", ".join(shown), axes + (" (number of images)" if len(sizes) > 1 else "")),
        *_spacing(fingerprint),
        Fact("Stored as", ", ".join(fingerprint.dtypes), "type of a value in the files"),
        Fact("Channels", stored, f"in the files; {rule.used} used{why}"),
        *_objects(fingerprint),
    )


def _spacing(fingerprint: Fingerprint) -> tuple[Fact, ...]:
    """The size of a pixel, where files say one."""
    known = sorted(((count, size) for size, count in fingerprint.spacings.items() if size), reverse=True)
    if not known:
        return ()
    texts = ["\u00a0×\u00a0".join(number_text(side) for side in size) for _, size in known[:_MOST_SIZES]]
    note = "of a pixel along these axes, in the unit of the files"
    return (Fact("Spacing", ", ".join(texts) + ", …" * (len(known) > _MOST_SIZES), note),)


def _objects(fingerprint: Fingerprint) -> tuple[Fact, ...]:
    """How many objects there are and how large, where masks number them."""
    found = fingerprint.objects
    if found is None:
        return ()
    kind = "ball" if fingerprint.dimensions == 3 else "disc"
    small, usual, large = (number_text(side) for side in found.diameter)
    note = f"median {found.per_image[1]:g} in an image; as a {kind} {usual} pixels across, 90 % from {small} to {large}"
    return (Fact("Objects", f"{found.count:,}", note),)


def class_table(fingerprint: Fingerprint, labelling: Labelling) -> Table:
    """How common each class is."""
    labelled = fingerprint.labelled
    rows = tuple(
        (
            Cell(text=info.name, color=info.color),
            Cell(text=_value_text(info.value, labelling)),
            Cell(text=percent_text(share), value=share),
            Cell(text=f"{pixels:,}"),
            Cell(text=f"{labelled - len(absent):,} of {labelled:,}"),
        )
        for info, share, pixels, absent in zip(
            labelling.classes, fingerprint.class_shares, fingerprint.class_pixels, fingerprint.absent, strict=True
        )
    )
    ignored = fingerprint.ignored_pixels
    return Table(
        caption="Classes, over the pixels of all masks",
        columns=(
            Column(head="Class", words=True),
            Column(head="Value", words=True),
            Column(head="Share", bars=True),
            Column(head="Pixels"),
            Column(head="In images"),
        ),
        rows=rows,
        note=f"{counted(ignored, 'pixel')} more take no part." if ignored else "",
    )


def _value_text(value: int, labelling: Labelling) -> str:
    """A mask's value: a number, or a colour where the masks are coloured."""
    if labelling.kind == "rgb":
        return f"#{value:06x}"
    if labelling.task in BINARY_TASKS:
        return "0" if value == 0 else "above 0"
    return str(value)


def split_table(split: Split) -> Table:
    """How many images served which purpose."""
    parts = (
        ("training", split.train, "fits the weights"),
        ("validation", split.val, "chooses among the weights"),
        ("test", split.test, "not looked at before the evaluation"),
        ("unlabelled", split.unlabelled, "no mask: takes no part"),
    )
    return Table(
        caption="Split",
        columns=(Column(head="Part", words=True), Column(head="Images"), Column(head="Purpose", words=True)),
        rows=tuple(
            (Cell(text=name), Cell(text=f"{len(names):,}"), Cell(text=purpose))
            for name, names, purpose in parts
            if names or name != "unlabelled"
        ),
        note=" ".join(split.notes),
    )


def intensity_table(fingerprint: Fingerprint) -> Table:
    """The values of each channel."""
    columns = (fingerprint.channel_min, fingerprint.channel_max, fingerprint.channel_mean, fingerprint.channel_std)
    heads = ("Least", "Greatest", "Mean", "Standard deviation")
    return Table(
        caption="Intensity, over all pixels of the labelled training images",
        columns=(Column(head="Channel", words=True), *(Column(head=head) for head in heads)),
        rows=tuple(
            (Cell(text=str(c + 1)), *(Cell(text=number_text(value)) for value in values))
            for c, values in enumerate(zip(*columns, strict=True))
        ),
        note=_marked(fingerprint),
    )


def _marked(fingerprint: Fingerprint) -> str:
    """What the values of the marked pixels are, in words."""
    found = fingerprint.foreground
    if found is None:
        return ""
    rows = zip(found.mean, found.std, found.low, found.high, strict=True)
    texts = [
        f"{number_text(m)} ± {number_text(s)}, 99 % in {number_text(a)} to {number_text(b)}" for m, s, a, b in rows
    ]
    return f"Of all classes but the commonest: {'; '.join(texts)}."

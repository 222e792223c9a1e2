"""Which labels of a container are Gatehouse's own, and not the image's."""

from collections.abc import Mapping

from remote.names import OWN_LABEL, SLOT_LABEL


def owned(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels for a container, and the label that lists them, to ignore the image's own."""
    return {**labels, OWN_LABEL: " ".join(sorted({*labels, OWN_LABEL}))}


def own_labels(
    labels: Mapping[str, str], image: Mapping[str, str] | None = None, name: str = ""
) -> dict[str, str]:
    """Return the labels of a container that Gatehouse has given it.

    A container without the list was made by an older Gatehouse. It serves as it is until the update
    that has installed this agent replaces it.

    If the image has the same list, the container may have inherited it, and not be Gatehouse's.
    ``docker commit`` makes such an image, for example. But an image cannot choose the container's
    name, which Gatehouse begins with the slot.

    Args:
        labels: All labels of the container.
        image: The labels of its image.
        name: The container's.
    """
    others = image or {}
    listed = labels.get(OWN_LABEL)
    if listed is None:
        return {key: value for key, value in labels.items() if others.get(key) != value}
    slot = labels.get(SLOT_LABEL)
    if others.get(OWN_LABEL) == listed and (not slot or not name.startswith(f"{slot}-")):
        return {}
    return {key: labels[key] for key in listed.split() if key in labels}

"""Which labels of a container are Gatehouse's own, and not the image's."""

from collections.abc import Mapping

from remote.names import OWN_LABEL


def owned(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels for a container, and the label that lists them, to ignore the image's own."""
    return {**labels, OWN_LABEL: " ".join(sorted({*labels, OWN_LABEL}))}


def own_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of a container that Gatehouse has given it.

    A container without the list was made by an older Gatehouse. It serves as it is until the update
    that has brought this agent replaces it.
    """
    listed = labels.get(OWN_LABEL)
    own = labels if listed is None else listed.split()
    return {key: labels[key] for key in own if key in labels}

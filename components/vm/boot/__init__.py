"""The old path of ``controller.boot``, in the delete commands of older states."""

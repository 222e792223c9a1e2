"""The old path of ``controller.reach``, in the delete commands of older states."""

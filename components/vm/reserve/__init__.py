"""The old path of ``controller.dhcp_reservation``, in the delete commands of older states."""

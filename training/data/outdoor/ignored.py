"""The label of what NYU-13 has no name for."""

IGNORED = 255

"""What a pixel of a pair is, as the pair readers, the generator and the losses name it."""

INVALID, OVERLAP, OCCLUDED, OUTSIDE = 0, 1, 2, 3
"""Of a target pixel: without truth; seen in the reference (OV); hidden there (OCC); outside its frame (NOV)."""

SEEN_BY_REFERENCE, SEEN_BY_TARGET, SEEN_BY_BOTH = 1, 2, 3
"""Of a canvas pixel, bits: inside the reference's frame, visible in the target."""

"""The NYU-13 label set: names, numbers and the colours used on contact sheets.

Finer things follow the usual NYU-40 to NYU-13 grouping: doors are wall, rugs are floor, curtains and blinds are window,
desks are table, shelves, cabinets, counters, refrigerators and night stands are furniture, pillows, lamps, mirrors and
boards are objects.
"""

from __future__ import annotations

NAMES = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects",
    "picture", "sofa", "table", "tv", "wall", "window",
)  # fmt: skip

BED, BOOKS, CEILING, CHAIR, FLOOR, FURNITURE, OBJECTS, PICTURE, SOFA, TABLE, TV, WALL, WINDOW = range(13)

PALETTE = (
    (61, 90, 254), (245, 166, 35), (208, 214, 224), (229, 57, 53), (141, 110, 99), (67, 160, 71), (255, 213, 79),
    (171, 71, 188), (0, 172, 193), (255, 112, 67), (38, 50, 56), (144, 164, 174), (129, 212, 250),
)  # fmt: skip

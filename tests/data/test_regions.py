from tinyunet.data.regions import box_text, overlap, within


def test_boxes_that_do_not_meet_share_nothing():
    shared = overlap((slice(0, 3), slice(5, 9)), (slice(7, 9), slice(6, 7)))
    assert shared == (slice(7, 7), slice(6, 7))
    assert within((slice(7, 8), slice(6, 7)), (slice(5, 9), slice(6, 9))) == (slice(2, 3), slice(0, 1))


def test_places_in_words():
    assert box_text((slice(3, 4), slice(0, 256), slice(7, 8))) == "slice 3, rows 0 to 255, column 7"

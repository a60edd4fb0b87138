# That a divided image is the whole one is tested in tests/test_devices.py, in a process that has several devices.
import functools

import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.prediction.divided import predict_divided, with_halo


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 9))
def test_a_stripe_gets_the_rows_of_its_neighbours_and_zeros_beyond_the_image(count, size, halo):
    rows = 1 + np.arange(count * size, dtype=np.float32)
    padded = np.pad(rows, halo)
    # Over an axis of `vmap` the exchange is the one over devices.
    exchange = functools.partial(with_halo, halo=halo, axis="rows", count=count)
    wide = jax.vmap(exchange, axis_name="rows")(rows.reshape(count, size))
    for place in range(count):
        np.testing.assert_array_equal(wide[place], padded[place * size : (place + 1) * size + 2 * halo])


def test_the_image_is_continued_by_its_edge_to_whole_windows_and_ends_there():
    seen = []

    def network(variables, pixels, valid):
        seen.append((pixels.shape, valid.shape))
        return pixels * valid + variables

    image = np.arange(1, 6, dtype=np.float32).reshape(5, 1, 1)
    result = predict_divided(network, 0.5, image, halo=3, multiple=(4, 2), devices=jax.devices()[:1])
    assert seen == [((1, 16, 2, 1), (1, 16, 2, 1))]  # 8 rows that exist, a halo of 4 on both sides
    np.testing.assert_array_equal(result, image + 0.5)

from tinyunet.layers.compiling import CARD_OPTIONS, accepted, compiler_options


def test_options_that_the_compiler_does_not_know_are_left_out():
    assert accepted({"xla_cpu_no_such_thing": True, **CARD_OPTIONS}) == CARD_OPTIONS


def test_a_graphics_card_repeats_its_bits_and_a_processor_does_anyway():
    assert compiler_options("gpu") == CARD_OPTIONS
    assert CARD_OPTIONS["xla_gpu_deterministic_ops"]
    assert compiler_options("cpu") is None

import re

from tinyunet.web.serve.metrics import Metrics


def values(text: str) -> dict[str, float]:
    """Every line of the format, checked."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            assert re.fullmatch(r"# (HELP|TYPE) [a-z_]+ .+", line)
        else:
            name, value = re.fullmatch(r'([a-z_]+(?:\{(?:[a-z]+="[^"\\]*",?)+\})?) (\S+)', line).groups()
            assert name not in found
            found[name] = float(value)
    return found


def test_times_fall_into_classes_that_hold_all_below_them():
    metrics = Metrics()
    for seconds in (0.01, 0.1, 0.2, 100.0):
        metrics.observe(seconds, pixels=50)
    found = values(metrics.text(inside=3))
    bucket = "tinyunet_prediction_seconds_bucket"
    assert [found[f'{bucket}{{le="{end}"}}'] for end in ("0.05", "0.1", "0.25", "60", "+Inf")] == [1, 2, 3, 3, 4]
    assert found["tinyunet_prediction_seconds_count"] == 4
    assert abs(found["tinyunet_prediction_seconds_sum"] - 100.31) < 1e-6
    assert found["tinyunet_predicted_pixels_total"] == 200
    assert found["tinyunet_requests_inside"] == 3
    assert found["process_resident_memory_bytes"] > 2**20


def test_answers_are_counted_by_path_and_status():
    metrics = Metrics()
    metrics.answers["/api/predict", 200] += 2
    metrics.answers["other", 404] += 1
    found = values(metrics.text(inside=0))
    assert found['tinyunet_requests_total{path="/api/predict",status="200"}'] == 2
    assert found['tinyunet_requests_total{path="other",status="404"}'] == 1

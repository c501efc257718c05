from xml.etree import ElementTree

import pytest

from mrnn_edge_cli.diagram import reliability_svg
from mrnn_edge_train.evaluation.trust import reliability

SVG = "{http://www.w3.org/2000/svg}"


def test_a_dot_stands_where_its_tenth_is_and_the_curve_ends_at_the_share_of_all():
    figures = reliability([0.95] * 3 + [0.15], [True, True, False, False])
    tree = ElementTree.fromstring(reliability_svg(figures, "a <model> & more"))
    assert tree.find(f"{SVG}text").text == "a <model> & more"
    low, high = tree.iter(f"{SVG}circle")
    assert (float(low.get("cx")), float(low.get("cy"))) == pytest.approx((0.15 * 240, 240))
    assert (float(high.get("cx")), float(high.get("cy"))) == pytest.approx((0.95 * 240, 80))
    assert float(high.get("r")) > float(low.get("r"))
    curve = list(tree.iter(f"{SVG}polyline"))[-1].get("points").split()
    assert len(curve) == 10
    assert curve[-1] == "240.0,120.0"

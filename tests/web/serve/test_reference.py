import re

from tinyunet.web.serve.app import create_app
from tinyunet.web.serve.reference import code, reference_page


def test_everything_that_can_be_asked_is_described(semantic):
    api = create_app(semantic).openapi()
    page = reference_page(api)
    for path, methods in api["paths"].items():
        for method, about in methods.items():
            assert f"<code>{method.upper()} {path}</code>" in page
            assert about["summary"] in page
            for parameter in about.get("parameters", ()):
                assert f"<td><code>{parameter['name']}</code></td>" in page
    assert "Successful Response" not in page


def test_it_holds_no_script_and_nothing_from_elsewhere(semantic):
    page = reference_page(create_app(semantic).openapi())
    assert "<script" not in page
    assert " style=" not in page
    assert not re.search(r"""(src|href)=["'](?!/)""", page)


def test_text_from_the_interface_is_escaped():
    assert str(code("`<b>` & <i>")) == "<code>&lt;b&gt;</code> &amp; &lt;i&gt;"

"""The page of examples/browser in headless Chromium recommends what the trained model recommends."""

from __future__ import annotations

import http.server
import io
import json
import re
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import export
import zoo
from zoo.data import prepare
from zoo.run import Run

if TYPE_CHECKING:
    from playwright.sync_api import Page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

PAGE = Path(__file__).parent.parent.parent / "examples" / "browser"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SHOWN = 10
# Loading and compiling two runtimes takes seconds, and minutes on a busy machine.
TIMEOUT = 180_000

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium"),
    pytest.mark.skipif(
        not (PAGE / "node_modules").is_dir(),
        reason="the page has no packages: npm ci --ignore-scripts --prefix examples/browser",
    ),
]


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the page, and bundles below `/bundles/`."""

    def __init__(self, *args: object, bundles: Path, **kwargs: object) -> None:
        self.bundles = bundles
        # Not every system knows this type, and browsers run a module only with it.
        self.extensions_map = {**self.extensions_map, ".mjs": "text/javascript"}
        super().__init__(*args, directory=str(PAGE), **kwargs)

    def translate_path(self, path: str) -> str:
        if path.startswith("/bundles/"):
            return str(self.bundles / path.removeprefix("/bundles/"))
        return super().translate_path(path)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> Path:
    """The folder whose bundles are served."""
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def address(bundles) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, bundles=bundles)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    """A browser whose pages share a cache, so that the runtimes are compiled once."""
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM)
        yield browser.new_context()
        browser.close()


@pytest.fixture
def page(browser):
    page = browser.new_page()
    page.set_default_timeout(TIMEOUT)
    yield page
    page.close()


@pytest.fixture
def visit(page, address) -> Callable[[str], Page]:
    """Opens the page with a bundle and waits until it shows an answer or an error."""

    def visit(bundle: str) -> Page:
        page.goto(f"{address}/?bundle=bundles/{bundle}")
        page.locator("#status").wait_for(state="hidden")
        settled(page)
        return page

    return visit


def publish(run: Run, bundles: Path, name: str, **options: object) -> Run:
    export.export(run, bundles / name, formats=("onnx", "tflite"), batch=1, **options)
    return run


@pytest.fixture(scope="module")
def films(bundles) -> Run:
    """Factors of real ratings; ids are integers."""
    run = zoo.train(
        "ials", "movielens-sample", progress=False, data={"max_history": 50}, hparams={"embedding_dim": 16, "epochs": 4}
    )
    return publish(run, bundles, "films", quantize=("dynamic",))


@pytest.fixture(scope="module")
def shop(make_run, bundles, datasets) -> Run:
    """An architecture that reads users, numbers, categories and contexts beside the history."""
    return publish(make_run("elcorec", datasets["features"]), bundles, "shop")


@pytest.fixture(scope="module", params=["strings", "large integers"])
def ids(request, bundles) -> tuple[str, Run]:
    """Items without titles, whose ids are easily damaged."""
    strings = ["a,b", 'say "hi"', "<b>bold</b>", "😀", "007", "7", "NA", "日本", "back\\slash", "{}", "x", "y"]
    # JSON numbers lose their last digits beyond 2**53.
    numbers = [2**53 + 2 * place + 1 for place in range(12)]
    items = strings if request.param == "strings" else numbers
    rows = [(f"user {user}", items[(user * 5 + place**2) % 12]) for user in range(30) for place in range(6)]
    frame = pd.DataFrame(rows, columns=["user", "item"]).drop_duplicates()
    dataset = prepare(frame, split={"name": "random", "valid": 0, "test": 0.1})
    name = request.param.replace(" ", "-")
    return name, publish(zoo.train("ease", dataset, progress=False), bundles, name)


def settled(page: Page) -> None:
    """Waits until the page shows the answers to the last click."""
    page.wait_for_function("document.body.ariaBusy !== 'true'")


def like(page: Page, text: str, title: str) -> None:
    page.get_by_label("Search titles").fill(text)
    page.get_by_role("list", name="Found").get_by_role("button", name=title, exact=True).click()
    settled(page)


def ranking(page: Page, runtime: str) -> tuple[list[str], np.ndarray]:
    """The raw ids and the scores that the page shows for a runtime."""
    rows = page.get_by_role("list", name=f"Recommended by {runtime}")
    items = rows.locator(".item").evaluate_all("rows => rows.map(row => row.value)")
    scores = rows.locator(".score").evaluate_all("rows => rows.map(row => Number(row.value))")
    return items, np.array(scores)


def assert_both_answer(page: Page, run: Run, liked: list[int] | list[str], **others: object) -> None:
    """Both runtimes show what the trained model recommends after likes of these items, most recent last."""
    vocabulary = run.dataset.vocabularies["item"]
    indices = vocabulary.index(liked)
    length = run.dataset.schema["history"].shape[0]
    history = np.pad(indices, (length - len(indices), 0))[None]
    # A like is a rating of the best kind, which the model sees as 1.
    query = {"history": history, "history_rating": (history > 0).astype(np.float32), **others}
    wanted = min(SHOWN, len(vocabulary) - len(liked))
    items, scores = run.model.recommend({name: query[name] for name in run.model.query_names}, wanted, indices[None])
    for runtime in ("ONNX Runtime", "LiteRT"):
        shown, shown_scores = ranking(page, runtime)
        assert shown == [str(item) for item in vocabulary.lookup(items[0])], runtime
        np.testing.assert_allclose(shown_scores, scores[0], rtol=0, atol=1e-4, err_msg=runtime)
    assert page.locator("#agreement").text_content().startswith("Both runtimes agree")


def test_both_runtimes_recommend_what_the_trained_model_does_after_every_click(films, visit):
    page = visit("films")
    titles = {"toy story": "Toy Story", "nemo": "Finding Nemo", "MONSTERS inc": "Monsters, Inc."}
    of_title = dict(zip(films.dataset.titles[2:], films.dataset.vocabularies["item"].values.tolist(), strict=True))
    liked = []
    for text, title in titles.items():
        like(page, text, title)
        liked.append(of_title[title])
        assert_both_answer(page, films, liked)
    page.get_by_role("button", name="Remove Toy Story").click()
    settled(page)
    assert_both_answer(page, films, liked[1:])


def test_a_recommended_item_can_be_liked_and_is_not_recommended_again(films, visit):
    page = visit("films")
    like(page, "alien", "Alien")
    first = page.get_by_role("list", name="Recommended by LiteRT").get_by_role("listitem").first
    title, item = first.locator(".item").text_content(), int(first.locator(".item").get_attribute("value"))
    first.get_by_role("button", name=f"Like {title}", exact=True).click()
    settled(page)
    assert page.get_by_role("button", name=f"Remove {title}", exact=True).is_visible()
    alien = films.dataset.vocabularies["item"].values[list(films.dataset.titles[2:]).index("Alien")]
    assert_both_answer(page, films, [int(alien), item])


def test_the_latency_of_both_runtimes_is_the_median_of_their_calls(films, visit):
    page = visit("films")
    like(page, "alien", "Alien")
    like(page, "heat", "Heat")
    for runtime in ("onnx", "litert"):
        card = page.locator(f"[data-runtime={runtime}]")
        assert float(card.locator(".median").get_attribute("value")) > 0
        assert re.fullmatch(r"\d+(\.\d)? ms", card.locator(".median").text_content())
        assert card.locator(".calls").text_content() == "median of 3 calls"


def test_the_quantized_file_can_be_chosen_and_its_differences_are_shown(films, visit):
    page = visit("films")
    like(page, "alien", "Alien")
    page.get_by_label("TFLite file").select_option("tflite/model-dynamic.tflite")
    page.wait_for_function("document.querySelector('[data-runtime=litert] .calls').textContent === 'one call'")
    settled(page)
    (items, scores), (quantized, its_scores) = ranking(page, "ONNX Runtime"), ranking(page, "LiteRT")
    assert len(set(items) & set(quantized)) >= 8
    assert 1e-4 < np.abs(scores - its_scores).max() < 0.1
    assert page.locator("#agreement").text_content().startswith("They differ")


def test_titles_are_found_by_words_whatever_their_case_accents_and_punctuation(films, visit):
    page = visit("films")
    found = page.get_by_role("list", name="Found").get_by_role("button")
    for text in ("amelie", "AMÉLIE", "amélie  destin"):
        page.get_by_label("Search titles").fill(text)
        assert "Amelie (Fabuleux destin d'Amélie Poulain, Le)" in found.all_text_contents()
    page.get_by_label("Search titles").fill("no film is called so")
    assert found.count() == 0
    assert page.get_by_text("Nothing is called that.").is_visible()


def test_the_page_can_be_used_by_keyboard_only(films, visit):
    page = visit("films")
    page.get_by_label("Search titles").focus()
    page.keyboard.type("toy story 2")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    settled(page)
    button = page.get_by_role("button", name="Toy Story 2", exact=True)
    assert button.get_attribute("aria-pressed") == "true"
    assert button.evaluate("button => button === document.activeElement")
    page.keyboard.press("Enter")
    settled(page)
    assert button.get_attribute("aria-pressed") == "false"
    # After a like in a ranking the focus stays at that place of it, where another item is now.
    page.get_by_role("list", name="Recommended by ONNX Runtime").get_by_role("button").nth(3).focus()
    page.keyboard.press("Enter")
    settled(page)
    focused = "[...document.querySelectorAll('[data-runtime=onnx] .like')].indexOf(document.activeElement)"
    assert page.evaluate(focused) == 3


def test_every_control_has_a_name_for_screen_readers(films, visit):
    page = visit("films")
    like(page, "alien", "Alien")
    named = re.compile(r"\w")
    for role, controls in {"button": "button", "searchbox": "input", "combobox": "select"}.items():
        visible = page.locator(f"{controls}:visible").count()
        assert 0 < visible == page.get_by_role(role, name=named).count()


def test_nothing_reaches_beyond_the_width_of_a_phone(films, visit, page):
    page.set_viewport_size({"width": 360, "height": 700})
    visit("films")
    like(page, "lord of the rings", "Lord of the Rings: The Fellowship of the Ring, The")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_ids_are_shown_without_titles(ids, visit):
    name, run = ids
    page = visit(name)
    assert "no titles" in page.locator("#about").text_content()
    values = run.dataset.vocabularies["item"].values
    page.get_by_label("Search titles").fill(str(values[-1]))
    page.get_by_role("list", name="Found").get_by_role("button", name=str(values[-1]), exact=True).click()
    settled(page)
    first = page.get_by_role("list", name="Recommended by ONNX Runtime").locator(".item").first
    item = first.get_attribute("value")
    assert first.text_content() == item
    page.get_by_role("button", name=f"Like {item}", exact=True).first.click()
    settled(page)
    assert_both_answer(page, run, [values[-1], item])


@pytest.mark.slow
def test_other_inputs_of_a_query_are_sent_as_unknown(shop, visit):
    page = visit("shop")
    like(page, "number 7", "The love of love number 7")
    unknown = np.array([1], np.int32)
    # A number that is not known counts as the mean, which is 0 once it is standardised.
    others = {"user": unknown, "group": unknown, "age": np.zeros(1, np.float32), "device": unknown}
    # The page likes items at the present time.
    others["history_age"] = np.zeros((1, *shop.model.schema["history_age"].shape), np.float32)
    assert set(shop.model.query_names) == {*others, "history", "history_rating"}
    assert_both_answer(page, shop, [107], **others)


def test_a_missing_bundle_is_an_error_that_says_what_to_do(visit):
    page = visit("nowhere")
    message = page.get_by_role("alert").text_content()
    assert "There is no bundle at" in message
    assert "bundles/nowhere/ (manifest.json: 404)" in message
    assert "?bundle=" in message
    assert not page.locator("#main").is_visible()


def test_an_architecture_without_a_history_is_refused_with_the_reason(make_run, visit, bundles, datasets):
    publish(make_run("mf", datasets["ids"]), bundles, "mf")
    message = visit("mf").get_by_role("alert").text_content()
    assert "This bundle holds mf, which answers only from user." in message
    assert "ials" in message


def edited(bundles: Path, name: str, **changes: object) -> Path:
    """A copy of the bundle of films with another manifest."""
    folder = shutil.copytree(bundles / "films", bundles / name)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}), "utf-8")
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"formats": ["onnx"]}, "This bundle has no tflite files. Export the run again with --format onnx,tflite"),
        ({"endpoints": {}}, "does not describe a bundle of recozoo"),
    ],
)
def test_a_bundle_that_lacks_what_the_page_needs_is_refused(films, visit, bundles, tmp_path, changes, message):
    edited(bundles, tmp_path.name, **changes)
    assert message in visit(tmp_path.name).get_by_role("alert").text_content()


def test_a_manifest_that_is_not_json_is_an_error(films, visit, bundles, tmp_path):
    (edited(bundles, tmp_path.name) / "manifest.json").write_text("{")
    assert "manifest.json is not JSON." in visit(tmp_path.name).get_by_role("alert").text_content()


def test_a_missing_file_stops_its_own_runtime_only(films, visit, bundles, tmp_path):
    (edited(bundles, tmp_path.name) / "onnx" / "recommend.onnx").unlink()
    page = visit(tmp_path.name)
    message = page.locator("[data-runtime=onnx]").get_by_role("alert").text_content()
    assert message == "The file onnx/recommend.onnx of the bundle was not found (404). Copy the whole bundle."
    like(page, "alien", "Alien")
    assert len(ranking(page, "LiteRT")[0]) == SHOWN
    assert not page.locator("#agreement").is_visible()


def test_a_damaged_file_is_an_error_of_its_runtime(films, visit, bundles, tmp_path):
    (edited(bundles, tmp_path.name) / "onnx" / "recommend.onnx").write_bytes(b"not a model")
    page = visit(tmp_path.name)
    assert "It cannot run this file" in page.locator("[data-runtime=onnx]").get_by_role("alert").text_content()


def test_shapes_that_are_not_fixed_are_refused_by_litert_only(films, visit, bundles, tmp_path):
    edited(bundles, tmp_path.name, tflite=None)
    page = visit(tmp_path.name)
    message = page.locator("[data-runtime=litert]").get_by_role("alert").text_content()
    assert message == "LiteRT.js needs fixed shapes for one query. Export the run again with --batch 1."
    assert len(ranking(page, "ONNX Runtime")[0]) == SHOWN


@pytest.mark.parametrize(
    ("blocked", "runtime", "message", "other"),
    [
        ("onnxruntime-web/**", "onnx", "The package onnxruntime-web did not load.", "LiteRT"),
        ("@litertjs/core/dist/**", "litert", "The package @litertjs/core did not load.", "ONNX Runtime"),
        ("@litertjs/core/wasm/**", "litert", "node_modules/@litertjs/core/wasm/ did not load.", "ONNX Runtime"),
    ],
)
def test_a_runtime_that_does_not_load_leaves_the_other(films, visit, page, blocked, runtime, message, other):
    page.route(f"**/node_modules/{blocked}", lambda route: route.abort())
    visit("films")
    said = page.locator(f"[data-runtime={runtime}]").get_by_role("alert").text_content()
    assert message in said
    assert "npm ci" in said
    assert len(ranking(page, other)[0]) == SHOWN


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("before", [b"", b"a model"])
@pytest.mark.parametrize("comment", [b"", b"said behind the archive"])
@pytest.mark.parametrize("appended", [True, False])
def test_attached_files_are_read_as_python_reads_them(page, address, method, before, comment, appended):
    stream = io.BytesIO(before if appended else b"")
    with zipfile.ZipFile(stream, "a", method) as archive:
        archive.comment = comment
        archive.writestr("first.txt", "one")
        archive.writestr("vocabularies.json", "zwei äöü " * 100)
    content = stream.getvalue() if appended else before + stream.getvalue()
    page.goto(f"{address}/zip.js")
    read = "async ([bytes, name]) => (await import('/zip.js')).readAttached(new Uint8Array(bytes), name)"
    assert page.evaluate(read, [list(content), "vocabularies.json"]) == "zwei äöü " * 100
    assert page.evaluate(read, [list(content), "third.txt"]) is None
    assert page.evaluate(read, [list(before), "first.txt"]) is None

"""The stepper of Algorithm 1 in the built book: its numbers against ours, its keys, words and picture."""

import numpy as np
import pytest
import torch

from bnbook.nn.batchnorm import BatchNormFunction
from bnbook.pictures import stepper
from tests.test_book import EDITIONS, PHONE, facts, pages, serious

LINES = 5
START = {key: stepper.START[key] for key in ("x", "gamma", "beta", "eps")}


def reference(x, gamma, beta, eps) -> dict[str, np.ndarray]:
    """Algorithm 1 and its gradient by the book's own code, in float64."""
    x, gamma, beta = (
        torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (x, [gamma], [beta])
    )
    y, mean, variance = BatchNormFunction.apply(x[:, None], gamma, beta, eps)
    y.retain_grad()
    loss = (y[:, 0] - torch.tensor(stepper.TARGETS, dtype=torch.float64)).square().sum() / 2
    loss.backward()
    x_hat = (y.detach() - beta.detach()) / gamma.detach()
    found = {"mean": mean, "variance": variance, "std": (variance + eps).sqrt(), "loss": loss, "x": x}
    found |= {"xHat": x_hat, "y": y, "dY": y.grad, "dX": x.grad, "dGamma": gamma.grad, "dBeta": beta.grad}
    return {name: value.detach().numpy().ravel() for name, value in found.items()}


def shown(page) -> dict[str, list[float]]:
    """The numbers on the page, in full."""
    pairs = page.evaluate("[...document.querySelectorAll('.bn-st data')].map(d => [d.dataset.name, d.value])")
    numbers = {name: float(value) for name, value in pairs}
    names = ("mean", "variance", "std", "loss")
    found = {name: [numbers[f"line-{line}"]] for line, name in enumerate(names, start=1)}
    found |= {name: [numbers[name]] for name in ("dGamma", "dBeta")}
    return found | {
        key: [numbers[f"{key}-{example}"] for example in range(1, 9)]
        for key in ("x", "xHat", "y", "dY", "dX")
    }


@pytest.fixture(scope="module")
def places(html) -> list[str]:
    """The pages that have a stepper, which the three editions share."""
    found = [name for name in pages(html, "ko") if facts(html / "ko" / name).has_stepper]
    assert found, "no page has a stepper"
    return found


@pytest.fixture
def open_stepper(open_page, places):
    def opener(edition: str = "en", **options):
        page = open_page(f"{edition}/{places[0]}", **options)
        page.locator(".bn-stepper-live").first.wait_for()
        return page

    return opener


def press(page, role: str, key: str, times: int = 1) -> None:
    page.locator(role).focus()
    for _ in range(times):
        page.keyboard.press(key)


def point(example: int) -> str:
    return f".bn-st-handle[data-example='{example}']"


# The arithmetic


def test_the_still_picture_shows_our_algorithm_1():
    arrays = (np.array(stepper.X), np.array(stepper.TARGETS))
    found, truth = stepper.algorithm(*arrays, *list(START.values())[1:]), reference(**START)
    for ours, name in (("x_hat", "xHat"), ("y", "y"), ("d_y", "dY"), ("d_x", "dX"), ("std", "std")):
        assert found[ours] == pytest.approx(truth[name], rel=1e-9, abs=1e-9)


def test_the_numbers_are_those_of_our_algorithm_1_wherever_keys_move_the_points(open_stepper):
    page = open_stepper()

    def check(**state) -> None:
        truth = reference(**state)
        for name, values in shown(page).items():
            assert values == pytest.approx(truth[name], rel=1e-9, abs=1e-9), name

    check(**START)
    press(page, point(1), "ArrowLeft", 7)
    press(page, point(2), "PageDown", 2)
    press(page, point(3), "Home")
    press(page, point(4), "End")
    press(page, point(8), "ArrowUp")
    x = [2.3, 4.0, -8.0, 10.0, 2.0, 7.0, 4.0, 3.6]
    check(**START | {"x": x})
    press(page, "[data-name=gamma]", "ArrowLeft", 25)
    press(page, "[data-name=beta]", "ArrowRight", 14)
    press(page, "[data-name=eps]", "ArrowRight", 5)
    moved = {"x": x, "gamma": -1.0, "beta": 0.4, "eps": 1.0}
    check(**moved)
    press(page, "[data-action=narrow]", "Enter")
    mean = np.mean(x)
    check(**moved | {"x": [mean + (value - mean) / 2 for value in x]})
    press(page, "[data-action=reset]", "Enter")
    check(**START)


def test_equal_points_do_not_divide_by_zero(open_stepper):
    page = open_stepper()
    for example in range(1, 9):
        press(page, point(example), "Home")
    numbers = shown(page)
    assert numbers["variance"] == [0] and numbers["xHat"] == [0] * 8
    assert np.isfinite(numbers["dX"]).all()


def test_what_is_written_is_what_was_computed(open_stepper):
    page = open_stepper()
    press(page, "[data-action=narrow]", "Enter", 9)  # large gradients
    pairs = page.evaluate("[...document.querySelectorAll('td data')].map(d => [d.textContent, d.value])")
    assert any(abs(float(value)) > 100 for _, value in pairs)
    for text, value in pairs:
        digits = len(text.partition(".")[2])
        assert float(text.replace("−", "-")) == pytest.approx(float(value), abs=0.51 * 10**-digits)


def test_the_gradient_has_no_mean_and_no_part_along_x_hat(open_stepper):
    """Nor does it depend on beta, nor y on where all points lie. A large eps leaves a part along x_hat."""
    page = open_stepper()

    def along() -> tuple[float, float]:
        numbers = shown(page)
        return sum(numbers["dX"]), float(np.dot(numbers["dX"], numbers["xHat"]))

    assert along() == pytest.approx((0, 0), abs=1e-4)
    before = shown(page)
    press(page, "[data-name=beta]", "ArrowRight", 5)
    assert shown(page)["dX"] == pytest.approx(before["dX"], abs=1e-9)
    press(page, "[data-action=reset]", "Enter")
    press(page, "[data-action=right]", "Enter", 2)
    assert shown(page)["y"] == pytest.approx(before["y"], abs=1e-9)
    press(page, "[data-name=eps]", "End")
    total, part = along()
    assert total == pytest.approx(0, abs=1e-9) and abs(part) > 0.01


# Using it


def test_it_steps_through_the_lines_by_keyboard_alone(open_stepper):
    page = open_stepper()
    line, status = page.locator(".bn-st"), page.locator(".bn-st [role=status]")
    visible = []
    for number in range(1, LINES + 1):
        assert line.get_attribute("data-line") == str(number)
        assert page.locator("[aria-current=step] .bn-st-number").inner_text() == str(number)
        visible.append(sum(1 for text in page.locator(".bn-st-table tbody td").all_inner_texts() if text))
        press(page, "[data-action=next]", "Enter")
    assert visible == [8, 8, 16, 24, 40]
    assert "Line 5 of 5: gradient" in status.text_content()
    press(page, "[data-action=next]", "Enter")  # the end
    assert line.get_attribute("data-line") == str(LINES)
    press(page, "[data-action=back]", "Space")
    assert line.get_attribute("data-line") == "4"
    press(page, ".bn-st-line >> nth=1", "Enter")
    assert line.get_attribute("data-line") == "2"


def test_a_slider_says_its_value_keeps_its_range_and_shows_its_focus(open_stepper):
    page = open_stepper()
    handle = page.locator(point(6))
    assert handle.get_attribute("role") == "slider"
    press(page, point(6), "End")
    press(page, point(6), "ArrowRight")
    assert handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax") == "10"
    press(page, point(6), "Home")
    press(page, point(6), "PageDown")
    assert handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemin") == "-8"
    assert handle.get_attribute("aria-valuetext") == "−8"
    assert handle.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"


def test_a_point_follows_the_mouse(open_stepper):
    page = open_stepper()
    handle = page.locator(point(5))
    handle.scroll_into_view_if_needed()
    box, track = handle.bounding_box(), page.locator(".bn-st-panel-x .bn-st-track").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + track["width"] / 18 * 3, y + 5, steps=4)
    page.mouse.up()
    assert float(handle.get_attribute("aria-valuenow")) == pytest.approx(5.0, abs=0.11)
    page.mouse.move(x, y)  # let go
    assert float(handle.get_attribute("aria-valuenow")) == pytest.approx(5.0, abs=0.11)


def test_all_points_stay_where_they_would_leave_the_axis(open_stepper):
    page = open_stepper()
    press(page, "[data-action=wide]", "Enter")
    before = shown(page)["x"]
    assert max(before) == 10
    press(page, "[data-action=wide]", "Enter")
    assert shown(page)["x"] == before
    assert "leave the axis" in page.locator(".bn-st [role=status]").text_content()


@pytest.mark.parametrize("edition", EDITIONS)
def test_its_words_are_the_editions(open_stepper, edition):
    page = open_stepper(edition)
    for _ in range(LINES):
        app = page.locator(".bn-st")
        labels = [node.get_attribute("aria-label") for node in app.locator("[aria-label]").all()]
        words = " ".join([app.text_content(), *labels])
        assert any("가" <= letter <= "힣" for letter in words) == ("ko" in edition)
        assert any(word in words for word in ("mean", "Reset", "example")) == ("en" in edition)
        assert not any(mark in words for mark in ("undefined", "NaN", "{", "$"))
        press(page, "[data-action=next]", "Enter")


@pytest.mark.parametrize("edition", EDITIONS)
def test_axe_finds_nothing_serious_on_any_line(open_stepper, edition):
    page = open_stepper(edition, color_scheme="light", reduced_motion="reduce", viewport=PHONE)
    for _ in range(LINES):
        press(page, "[data-action=next]", "Enter")
    assert serious(page, {}, ".bn-stepper") == set()
    page.emulate_media(color_scheme="dark")
    assert serious(page, {"runOnly": ["color-contrast"]}, ".bn-stepper") == set()


@pytest.mark.parametrize("edition", EDITIONS)
def test_it_fits_a_phone(open_stepper, edition):
    page = open_stepper(edition, viewport=PHONE)
    for _ in range(LINES):
        press(page, "[data-action=next]", "Enter")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        for box in page.locator(".bn-st, .bn-st-numbers").all():
            assert box.evaluate("box => box.scrollWidth <= box.clientWidth")


def test_nothing_glides_where_less_motion_is_asked_for(open_stepper):
    for motion, still in (("reduce", True), ("no-preference", False)):
        page = open_stepper(reduced_motion=motion)
        press(page, "[data-action=next]", "Enter", 2)
        mark = page.locator(".bn-st-panel-hat .bn-st-mark").first
        times = mark.evaluate("node => getComputedStyle(node).transitionDuration").split(", ")
        assert all(time == "0s" for time in times) is still


# Without it


@pytest.mark.parametrize("edition", EDITIONS)
def test_without_javascript_the_picture_stands_there(open_page, places, edition):
    page = open_page(f"{edition}/{places[0]}", java_script_enabled=False)
    picture = page.locator(".bn-stepper img.only-light")
    assert picture.is_visible() and picture.evaluate("image => image.naturalWidth") > 0
    assert picture.get_attribute("alt")
    assert page.locator(".bn-st").count() == 0


def test_it_takes_the_place_of_the_picture_but_not_in_print(open_stepper):
    page = open_stepper()
    parts = (".bn-st", "img.only-light", "figcaption")
    app, picture, caption = (page.locator(f".bn-stepper {part}") for part in parts)
    assert app.is_visible() and not picture.is_visible() and caption.is_visible()
    page.emulate_media(media="print")
    assert picture.is_visible() and not app.is_visible() and caption.is_visible()


def test_script_and_style_are_loaded_only_where_it_is(html, places):
    for edition in EDITIONS:
        for name in pages(html, edition):
            loaded = [asset for asset in facts(html / edition / name).assets if "/stepper." in asset]
            assert len(loaded) == (2 if name in places else 0), f"{edition}/{name}"


def test_it_says_nothing_on_the_console_and_asks_for_nothing_outside(open_page, html, places):
    page = open_page("index.html")
    problems, asked = [], []
    page.on("console", lambda m: m.type in ("error", "warning") and problems.append(m.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{html.as_uri()}/ko-en/{places[0]}")
    for _ in range(LINES):
        press(page, "[data-action=next]", "Enter")
    assert problems == []
    assert all(url.startswith(("file:", "data:")) for url in asked)

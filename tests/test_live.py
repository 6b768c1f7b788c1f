"""The network that trains in the page: its arithmetic against `bnbook.nn`, and the page in use."""

import base64
import gzip
import json
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bnbook import paths
from bnbook.data import datasets, sources
from bnbook.data.batches import Batches
from bnbook.data.datasets import binarised
from bnbook.nn.batchnorm import BatchNorm, batch_statistics, population_statistics
from bnbook.nn.mlp import MLP, HiddenLayer, initialise
from bnbook.sphinxext import live
from tests.test_book import EDITIONS, PHONE, pages, serious

PAGE = "train-it-here.html"
ENGINE = paths.BOOK / "_static" / "live" / "engine.js"
STEPS = 100
BYTES = 60_000  # of the page's own program, compressed


# The arithmetic


class NormAfter(HiddenLayer):
    """BN(g(Wu + b))."""

    def forward(self, u):
        return self.norm(self.activation(self.linear(u)))


BIASES = {"sigmoid": 0.0, "relu": 1.0}  # a unit that is 0 for a whole batch makes BN multiply rounding errors


def networks(activation: str, place: str, std: float) -> list[MLP]:
    """Without and with BN, the same weights, and BIASES in the hidden layers."""
    sizes = (64, 100, 3, 10)
    plain = MLP(*sizes, activation=activation)
    normalized = MLP(*sizes, norm=BatchNorm, activation=activation, bias=place == "after")
    if place == "after":
        for layer in normalized.hidden:
            layer.__class__ = NormAfter
    for model in (plain, normalized):
        initialise(model, std, torch.Generator().manual_seed(0))
        for layer in model.hidden:
            if layer.linear.bias is not None:
                nn.init.constant_(layer.linear.bias, BIASES[activation])
    return [plain, normalized]


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


@pytest.fixture(scope="module")
def engine(browser):
    """A page with nothing but the arithmetic."""
    page = browser.new_page()
    page.add_script_tag(path=ENGINE)
    yield page
    page.close()


# Trains on the mini-batches given, from the weights given, and returns what the book's code is compared with.
TRAIN = """({ settings, weights, biases, data, batches, vectors }) => {
  const engine = bnLiveEngine();
  const sets = { pixels: 64, ...data };
  for (const split of [sets.train, sets.test]) {
    for (const key of ["images", "labels"]) split[key] = Uint8Array.from(split[key]);
  }
  const { nets, take, mem, space } = engine.pair(sets, settings, engine.memory(vectors));
  nets.forEach((net) => net.layers.forEach(({ weight }, l) => weights[l].forEach((row, unit) =>
    row.forEach((value, input) => { weight.data[input * weight.width + unit] = value; }))));
  nets.forEach((net) => net.layers.slice(0, -1).forEach(({ bias }) => bias?.fill(biases)));
  const matrix = (order) => {
    const x = mem.matrix(order.length, 64);
    order.forEach((at, n) => x.data.set(sets.train.images.subarray(64 * at, 64 * at + 64), n * x.width));
    return x;
  };
  const losses = batches.map((order) => take(matrix(order), order.map((at) => sets.train.labels[at])));
  const norms = nets.map((net) => net.layers.map(({ gradient }) => Math.hypot(...gradient.data)));
  const xs = batches.slice(-20).map(matrix);
  engine.populationStatistics(mem, space, nets[1], xs, settings.batch, settings.relu);
  const statistics = nets[1].layers.slice(0, -1).map(({ moving, population }) => [moving, population].map(
    ({ mean, variance }) => [mean, variance].map((values) => [...values.slice(0, 100)])));
  const test = mem.matrix(data.test.labels.length, 64);
  test.data.set(sets.test.images);
  const results = ["moving", "population", "batch"].map((kind) => {
    engine.forward(mem, space, nets[1], test, test.rows, settings.relu, kind);
    return engine.softmaxLoss(space.logits, sets.test.labels, test.rows).loss;
  });
  return { losses, norms, statistics, results };
}"""


def trained_in_the_page(engine, digits, models, batches, *, activation, place, rate, vectors=True) -> dict:
    def split(data) -> dict:
        flat = binarised(data)
        return {"images": flat.x.int().flatten().tolist(), "labels": flat.y.tolist()}

    settings = {"rate": rate, "std": 1, "batch": 60, "depth": 3, "relu": activation == "relu", "place": place}
    linear = [module for module in models[0].modules() if isinstance(module, nn.Linear)]
    return engine.evaluate(
        TRAIN,
        {
            "settings": settings | {"seed": 1},
            "weights": [one.weight.tolist() for one in linear],
            "biases": BIASES[activation],
            "data": {"train": split(digits.train), "test": split(digits.test)},
            "batches": batches,
            "vectors": vectors,
        },
    )


def orders(digits, count: int) -> list[list[int]]:
    """The members of the first mini-batches."""
    numbered = datasets.Split(torch.arange(len(digits.train)), digits.train.y)
    cut = Batches(numbered, 60, seed=0)
    return [cut[step][0].tolist() for step in range(count)]


def train(model: MLP, data, batches: list[list[int]], rate: float) -> list[float]:
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    losses = []
    for order in batches:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(data.x[order]), data.y[order])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    ("activation", "place", "rate", "std"),
    [
        ("sigmoid", "before", 0.3, 0.3),
        ("sigmoid", "after", 0.1, 0.3),
        ("relu", "before", 0.1, 0.1),
        ("relu", "after", 0.1, 0.1),
    ],
)
def test_the_page_computes_what_our_code_does(engine, digits, activation, place, rate, std):
    models, batches = networks(activation, place, std), orders(digits, STEPS)
    found = trained_in_the_page(
        engine, digits, models, batches, activation=activation, place=place, rate=rate
    )
    training, test = binarised(digits.train), binarised(digits.test)
    for model, losses, norms in zip(models, np.transpose(found["losses"]), found["norms"], strict=True):
        expected = train(model, training, batches, rate)
        assert expected[-1] < expected[0] - 0.2  # something was learned
        assert losses == pytest.approx(expected, abs=1e-4)
        gradients = [m.weight.grad.norm().item() for m in model.modules() if isinstance(m, nn.Linear)]
        assert norms == pytest.approx(gradients, rel=1e-3)

    def loss() -> float:
        return F.cross_entropy(model.eval()(test.x), test.y).item()

    def statistics() -> list:
        return [[layer.norm.running_mean.numpy().copy(), layer.norm.running_var.numpy().copy()]
                for layer in model.hidden]  # fmt: skip

    with torch.no_grad():
        moving = statistics()
        expected = [loss()]
        population_statistics(model, [training.x[order] for order in batches[-20:]])
        expected.append(loss())
        with batch_statistics(model):
            expected.append(F.cross_entropy(model(test.x), test.y).item())
    both = np.stack([moving, statistics()], axis=1)
    assert np.array(found["statistics"]) == pytest.approx(both, rel=1e-3, abs=1e-4)
    assert found["results"] == pytest.approx(expected, abs=1e-4)


def test_without_webassembly_it_computes_the_same(engine, digits):
    how = {"activation": "sigmoid", "place": "before", "rate": 0.3}
    arguments = (engine, digits, networks("sigmoid", "before", 0.3), orders(digits, 10))
    with_vectors, without = (trained_in_the_page(*arguments, **how, vectors=v) for v in (True, False))
    assert without["losses"] == [pytest.approx(losses, abs=1e-4) for losses in with_vectors["losses"]]


# The stories

TELL = """({ settings, given, steps }) => {
  const bits = ({ images, labels }) => {
    const bytes = atob(images);
    const bit = (_, i) => (bytes.charCodeAt(i >> 3) >> (7 - (i & 7))) & 1;
    const pixels = Uint8Array.from({ length: 64 * labels.length }, bit);
    return { images: pixels, labels: Uint8Array.from(labels, Number) };
  };
  const data = { pixels: 64, train: bits(given.train), test: bits(given.test) };
  const pair = bnLiveEngine().pair(data, { ...settings, relu: settings.activation === "relu" });
  while (pair.step < steps) pair.next();
  const { nets } = pair.measure();
  return nets.map(({ accuracy, norms, histogram }) =>
    ({ accuracy: accuracy.population, norms, width: histogram?.filter((count) => count).length }));
}"""


def told(engine, preset: str, steps: int, **settings) -> tuple[dict, dict]:
    settings = live.START | live.PRESETS[preset] | settings
    return engine.evaluate(TELL, {"settings": settings, "given": live.digits(), "steps": steps})


def test_the_stories_come_out_as_told(engine):
    plain, bn = told(engine, "figure1", 300)
    assert plain["accuracy"] < 0.2 and bn["accuracy"] > 0.75
    assert plain["norms"] == sorted(plain["norms"])  # the farther to the left, the smaller
    plain, bn = told(engine, "tuned", 400)
    assert abs(plain["accuracy"] - bn["accuracy"]) < 0.06 and plain["accuracy"] > 0.75
    plain, bn = told(engine, "fast", 300)
    assert plain["accuracy"] < 0.2 and bn["accuracy"] > 0.7 and max(plain["norms"]) < 0.1
    plain, bn = told(engine, "small", 300)
    assert plain["accuracy"] < 0.2 and bn["accuracy"] > 0.75 and 3 * plain["width"] < bn["width"]
    plain, bn = told(engine, "four", live.STEPS)
    assert bn["accuracy"] < plain["accuracy"]


def test_the_largest_settings_have_room(engine):
    plain, bn = told(engine, "figure1", 2, depth=max(live.RANGES["depth"]), batch=max(live.RANGES["batch"]))
    assert 0 < plain["accuracy"] < 1 and 0 < bn["accuracy"] < 1


# The data


def unpacked(packed: dict, split: str) -> tuple[np.ndarray, list[int]]:
    labels = [int(label) for label in packed[split]["labels"]]
    bits = np.unpackbits(np.frombuffer(base64.b64decode(packed[split]["images"]), np.uint8))
    return bits[: len(labels) * packed["side"] ** 2].reshape(len(labels), -1), labels


def test_the_digits_are_the_books(digits):
    given = live.digits()
    images, labels = unpacked(given, "test")
    ours = binarised(digits.test)
    assert np.array_equal(images, ours.x.numpy()) and labels == ours.y.tolist()
    images, labels = unpacked(given, "train")
    ours = binarised(digits.train_and_validation)
    assert sorted(map(bytes, images)) == sorted(map(bytes, ours.x.numpy().astype(np.uint8)))
    assert np.bincount(labels).tolist() == np.bincount(ours.y).tolist()


def test_the_sample_of_mnist_is_committed_as_it_is_made():
    committed = live.MNIST.read_text(encoding="utf-8")
    packed = json.loads(committed.removeprefix("globalThis.bnLiveData = ").removesuffix(";\n"))
    for split, count in live.MNIST_IMAGES.items():
        images, labels = unpacked(packed, split)
        assert images.shape == (count, 28 * 28) and set(labels) == set(range(10))
        assert 0.05 < images.mean() < 0.2
    if sources.locate("mnist"):
        assert committed == live.mnist()


# Using it


@pytest.fixture
def open_live(open_page):
    def opener(edition: str = "en", link: str = "", **options):
        page = open_page(f"{edition}/{PAGE}{link}", **options)
        page.locator(".bn-train-live").wait_for()
        page.locator(".bn-tr[data-drawn]").wait_for()
        return page

    return opener


def at(page) -> int:
    """The step that is shown."""
    return int(re.search(r"step ([\d,]+)", page.locator(".bn-tr-at").text_content())[1].replace(",", ""))


def action(page, name: str):
    return page.locator(f"[data-action={name}]")


def press(page, selector: str, key: str, times: int = 1) -> None:
    page.locator(selector).focus()
    for _ in range(times):
        page.keyboard.press(key)


def until(page, condition: str, **options) -> None:
    page.wait_for_function(condition, **options)


def reaches(page, step: int) -> None:
    shown = "document.querySelector('.bn-tr-at').textContent.match(/[\\d,]+/)[0]"
    until(page, f"Number({shown}.replace(',', '')) >= {step}")


def accuracies(page) -> list[float]:
    return [
        float(text.rstrip("%"))
        for text in page.locator(".bn-tr-table tbody td:nth-child(2)").all_inner_texts()
    ]


def test_it_trains_pauses_steps_and_begins_anew_by_keyboard_alone(open_live):
    page = open_live()
    assert at(page) == 0
    press(page, "[data-action=start]", "Enter")
    reaches(page, 60)
    assert action(page, "start").inner_text() == "Pause"
    press(page, "[data-action=start]", "Space")
    until(page, "document.querySelector('.bn-tr').dataset.running === 'false'")
    page.wait_for_timeout(200)
    paused = at(page)
    assert "–" not in page.locator(".bn-tr-table").inner_text()
    press(page, "[data-action=step]", "Enter", 3)
    reaches(page, paused + 3)
    assert at(page) == paused + 3
    plain, bn = accuracies(page)
    assert plain < 20 < 60 < bn
    losses = page.locator(".bn-tr-table tbody td:nth-child(3)").all_inner_texts()
    assert float(losses[0]) > float(losses[1])
    assert "Step" in page.locator(".bn-tr [role=status]").text_content()
    press(page, "[data-action=reset]", "Enter")
    until(page, "document.querySelector('.bn-tr-at').textContent.startsWith('step 0')")


def test_the_same_settings_give_the_same_run(open_live):
    page = open_live(link="#train:seed=7")

    def after_steps() -> list[str]:
        press(page, "[data-action=step]", "Enter", 5)
        reaches(page, 5)
        return page.locator(".bn-tr-table td").all_inner_texts()

    first = after_steps()
    press(page, "[data-action=reset]", "Enter")
    until(page, "document.querySelector('.bn-tr-at').textContent.startsWith('step 0')")
    assert after_steps() == first


def test_a_change_starts_anew_and_goes_on(open_live):
    page = open_live()
    action(page, "start").click()
    reaches(page, 80)
    press(page, "[data-name=rate]", "ArrowRight", 2)
    assert page.locator("[data-name=rate] + output").inner_text() == "0.48"
    assert page.locator(".bn-tr-story").inner_text() == "These are your own settings."
    assert page.locator("[data-preset][aria-pressed=true]").count() == 0
    reaches(page, 5)
    assert page.locator(".bn-tr").get_attribute("data-running") == "true"


def test_a_preset_sets_its_settings_and_tells_its_story(open_live):
    page = open_live()
    for name, changes in live.PRESETS.items():
        page.locator(f"[data-preset={name}]").click()
        for key, value in (live.START | changes).items():
            if key in ("rate", "std"):
                assert page.locator(f"[data-name={key}] + output").inner_text() == f"{value:g}"
            else:
                assert page.locator(f"[data-name={key}]").input_value() == str(value)
        assert page.locator("[data-preset][aria-pressed=true]").get_attribute("data-preset") == name
        assert page.locator(".bn-tr-story").inner_text() == live.WORDS[f"{name}_story"]["en"]
    reaches(page, 20)


def test_a_link_holds_the_settings(open_live, open_page):
    page = open_live()
    page.locator("[data-name=batch]").select_option("16")
    page.locator("[data-name=activation]").select_option("relu")
    page.locator("[data-name=place]").select_option("after")
    page.locator("[data-name=evaluation]").select_option("moving")
    press(page, "[data-name=std]", "ArrowLeft", 3)
    press(page, "[data-name=unit]", "ArrowRight", 41)
    page.locator("[data-name=seed]").fill("23")
    page.locator("[data-name=seed]").blur()
    link = page.evaluate("location.hash")
    other = open_live("ko", link)
    for name, value in (
        ("batch", "16"),
        ("activation", "relu"),
        ("place", "after"),
        ("evaluation", "moving"),
    ):
        assert other.locator(f"[data-name={name}]").input_value() == value
    assert other.locator("[data-name=seed]").input_value() == "23"
    assert other.locator("[data-name=unit]").input_value() == "42"
    shown = [one.locator("[data-name=std] + output").inner_text() for one in (page, other)]
    assert shown == ["0.05", "0.05"]
    assert other.locator(".bn-tr-table thead th").last.inner_text() == live.WORDS["dead"]["ko"]


def test_the_settings_go_along_to_another_edition(open_live):
    page = open_live("ko")
    page.locator("[data-preset=fast]").click()
    page.locator("a.bn-edition[data-edition=en]").click()
    page.wait_for_url("**/en/*")
    page.locator(".bn-tr[data-drawn]").wait_for()
    assert page.locator("[data-preset][aria-pressed=true]").get_attribute("data-preset") == "fast"


def test_a_link_with_nonsense_is_brought_within_range(open_live):
    page = open_live(link="#train:rate=1e9&std=x&batch=59&depth=40&seed=-3&data=cats&place=&unit=500")
    shown = {
        key: page.locator(f"[data-name={key}]").input_value()
        for key in ("batch", "depth", "seed", "data", "place", "unit")
    }
    assert shown == {
        "batch": "60",
        "depth": "6",
        "seed": "1",
        "data": "digits",
        "place": "before",
        "unit": "100",
    }
    assert [page.locator(f"[data-name={key}] + output").inner_text() for key in ("rate", "std")] == [
        "30",
        "0.1",
    ]


def test_what_evaluation_uses_changes_the_curve_and_not_the_training(open_live):
    page = open_live()
    press(page, "[data-action=step]", "Enter", 8)
    reaches(page, 8)
    found = {}
    for kind in ("population", "moving", "batch"):
        page.locator("[data-name=evaluation]").select_option(kind)
        page.wait_for_timeout(100)
        found[kind] = accuracies(page)
        assert at(page) == 8
    plain = {values[0] for values in found.values()}
    assert len(plain) == 1
    assert found["moving"][1] < found["population"][1]  # moving averages lag behind


def test_a_unit_is_chosen_by_a_click(open_live):
    page = open_live()
    grid = page.locator(".bn-tr-units").first
    grid.scroll_into_view_if_needed()
    box = grid.bounding_box()
    grid.click(position={"x": box["width"] * 12.5 / 20, "y": box["height"] * 3.5 / 5})
    assert page.locator("[data-name=unit]").input_value() == "73"
    assert page.locator(".bn-tr-panel-plain .bn-tr-head").inner_text() == "Input of unit 73, plain"


def test_curves_are_drawn(open_live):
    page = open_live(viewport={"width": 1280, "height": 2400})
    action(page, "start").click()
    reaches(page, 100)
    action(page, "start").click()
    colours = """name => { const c = document.querySelector(`.bn-tr-panel-${name} canvas`);
      const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
      const seen = { red: 0, blue: 0 };
      for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200) {
        if (d[i] > d[i + 2] + 100) seen.red++; else if (d[i + 2] > d[i] + 100) seen.blue++; }
      return seen; }"""
    page.emulate_media(color_scheme="light")
    for name, red, blue in (
        ("log", True, True),
        ("plain", True, False),
        ("bn", False, True),
        ("histogram", True, True),
        ("gradients", True, True),
    ):
        seen = page.evaluate(colours, name)
        assert (seen["red"] > 20) == red and (seen["blue"] > 20) == blue, name


def test_a_hidden_page_rests(open_live):
    page = open_live()
    hide = """hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
      document.dispatchEvent(new Event('visibilitychange')); }"""
    action(page, "start").click()
    reaches(page, 10)
    page.evaluate(hide, True)
    page.wait_for_timeout(200)
    rested = at(page)
    page.wait_for_timeout(200)
    assert at(page) == rested < live.STEPS
    page.evaluate(hide, False)
    reaches(page, rested + 10)


@pytest.mark.parametrize(
    "missing",
    [
        "delete window.Worker",
        "window.Worker = class { constructor() { setTimeout(() => this.onerror(), 50); } postMessage() {} }",
    ],
)
def test_it_trains_where_there_are_no_workers(open_page, missing):
    page = open_page("index.html")
    page.add_init_script(missing)
    page.goto(page.url.replace("index.html", f"en/{PAGE}"))
    page.wait_for_timeout(100)
    page.locator(".bn-tr[data-drawn]").wait_for()
    action(page, "start").click()
    reaches(page, 20)


def test_mnist_is_loaded_where_it_is_chosen(open_page, html):
    page = open_page("index.html")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{html.as_uri()}/en/{PAGE}")
    page.locator(".bn-tr[data-drawn]").wait_for()
    assert not any("mnist.js" in url for url in asked)
    page.locator("[data-name=data]").select_option("mnist")
    until(page, "location.hash.includes('data=mnist')")
    action(page, "start").click()
    reaches(page, 40)
    assert accuracies(page)[1] > 40
    assert len([url for url in asked if re.search(r"mnist\.js\?v=[0-9a-f]{8}$", url)]) == 1


def test_where_mnist_is_not_there_it_says_so(open_page, html):
    page = open_page("index.html")
    page.route("**/mnist.js*", lambda route: route.abort())
    page.goto(f"{html.as_uri()}/en/{PAGE}")
    page.locator(".bn-tr[data-drawn]").wait_for()
    page.locator("[data-name=data]").select_option("mnist")
    page.locator(".bn-tr .bn-tr-note", has_text="could not be loaded").wait_for()
    assert page.locator("[data-name=data]").input_value() == "digits"
    action(page, "step").click()
    reaches(page, 1)


def test_less_motion_means_fewer_pictures(open_live):
    drawn = {}
    for motion in ("no-preference", "reduce"):
        page = open_live(reduced_motion=motion)
        action(page, "start").click()
        page.wait_for_timeout(1500)
        drawn[motion] = int(page.locator(".bn-tr").get_attribute("data-drawn"))
    assert drawn["reduce"] <= 6 < drawn["no-preference"]


@pytest.mark.parametrize("edition", EDITIONS)
def test_its_words_are_the_editions(open_live, edition):
    page = open_live(edition)
    action(page, "step").click()
    page.locator("[data-name=activation]").select_option("relu")
    app = page.locator(".bn-tr")
    labels = [node.get_attribute("aria-label") for node in app.locator("[aria-label]").all()]
    words = " ".join([app.text_content(), *labels])
    assert any("가" <= letter <= "힣" for letter in words) == ("ko" in edition)
    assert any(word in words for word in ("Settings", "accuracy", "layer")) == ("en" in edition)
    assert not any(mark in words for mark in ("undefined", "NaN", "{", "$"))


# What is written to the left of its canvas.
CUT = """() => {
  const draw = CanvasRenderingContext2D.prototype.fillText;
  globalThis.cut = [];
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
    if (this.textAlign === "right" && x < this.measureText(text).width) cut.push(text);
    draw.call(this, text, x, y);
  };
}"""


def test_the_values_of_a_network_that_diverges_stay_on_its_axis(open_live):
    page = open_live(link="#train:rate=30&std=1&depth=6&activation=relu")
    page.evaluate(CUT)
    for step in range(1, 6):
        action(page, "step").click()
        reaches(page, step)
    page.mouse.wheel(0, 1500)  # what is out of sight is not drawn
    page.locator(".bn-tr-units").first.click()
    assert "diverged" in page.locator(".bn-tr-table").text_content()
    assert page.evaluate("cut") == []


# How much wider the longest choice is than the room for it.
CROWDED = """select => {
  const style = getComputedStyle(select);
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = style.font;
  const widest = Math.max(...[...select.options].map((option) => pen.measureText(option.text).width));
  return widest - (select.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight));
}"""


@pytest.mark.parametrize("edition", EDITIONS)
def test_every_choice_can_be_read_on_a_phone(open_live, edition):
    page = open_live(edition, viewport=PHONE)
    page.locator(".bn-tr-settings").evaluate("box => { box.open = true }")
    for select in page.locator(".bn-tr select").all():
        assert select.evaluate(CROWDED) <= 0, select.text_content()


@pytest.mark.parametrize("edition", EDITIONS)
def test_it_fits_a_phone_and_axe_finds_nothing_serious(open_live, edition):
    page = open_live(edition, viewport=PHONE, color_scheme="light")
    page.locator(".bn-tr-settings").evaluate("box => { box.open = true }")
    action(page, "step").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for part in page.locator(".bn-tr, .bn-tr table, .bn-tr select, .bn-tr-field").all():
        assert part.evaluate("part => part.scrollWidth <= part.clientWidth + 1")
    assert serious(page, {}, ".bn-train") == set()
    page.emulate_media(color_scheme="dark")
    assert serious(page, {"runOnly": ["color-contrast"]}, ".bn-train") == set()


# Without it, and what it costs


@pytest.mark.parametrize("edition", EDITIONS)
def test_without_javascript_it_says_where_else_to_look(open_page, edition):
    page = open_page(f"{edition}/{PAGE}", java_script_enabled=False)
    box = page.locator(".bn-train")
    assert box.is_visible() and box.locator("a").count() >= 2
    assert page.locator(".bn-tr").count() == 0


def test_it_is_loaded_on_its_page_alone_and_is_light(html):
    for edition in EDITIONS:
        for name in pages(html, edition):
            text = (html / edition / name).read_text(encoding="utf-8")
            loaded = re.findall(r'(?:src|href)="[^"]*_static/live/(\w+\.\w+)', text)
            expected = ["engine.js", "live.css", "ui.js"] if name == PAGE else []
            assert sorted(loaded) == expected, f"{edition}/{name}"
    page = (html / "ko-en" / PAGE).read_text(encoding="utf-8")
    parts = [path.read_bytes() for path in ENGINE.parent.iterdir() if path != live.MNIST]
    given = re.search(r'data-given="([^"]*)"', page)[1].encode()
    assert sum(len(gzip.compress(part)) for part in [*parts, given]) < BYTES


@pytest.mark.parametrize("edition", EDITIONS)
def test_it_says_nothing_on_the_console_and_asks_for_nothing_outside(open_page, html, edition):
    page = open_page("index.html")
    problems, asked = [], []
    page.on("console", lambda m: m.type in ("error", "warning") and problems.append(m.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{html.as_uri()}/{edition}/{PAGE}")
    page.locator(".bn-tr[data-drawn]").wait_for()
    for name in live.PRESETS:
        page.locator(f"[data-preset={name}]").click()
    for name in ("start", "step", "reset", "link"):
        action(page, name).click()
    assert problems == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)

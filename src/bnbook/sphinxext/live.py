"""The directive `live`: the network of Section 4.1, trained in the reader's browser.

book/_static/live has the program: the arithmetic (engine.js), which runs in a Web Worker, and what is seen
of it (ui.js). Words, settings and the digits are in the page, so that it works from a local file, where
scripts can ask for nothing. The sample of MNIST is a script of its own, loaded where the reader chooses
MNIST. Without JavaScript the directive's content stays.
"""

import base64
import json
from typing import Any

import numpy as np
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bnbook import files, paper, paths
from bnbook.data import sources
from bnbook.sphinxext.builder import relative
from bnbook.sphinxext.editions import languages
from bnbook.sphinxext.html import Tag, tag

CLASS = "bn-train"
FOLDER = "live"  # in _static
MNIST = paths.BOOK / "_static" / FOLDER / "mnist.js"
MNIST_IMAGES = {"train": 4000, "test": 1000}  # the first ones of either set
DIGITS_TEST = 360  # the last ones, as everywhere in the book
STEPS = 2000

# What a reader may turn, and within what.
RANGES = {
    "rate": [0.01, 30],
    "std": [0.003, 1],
    "batch": [4, 8, 16, 32, 60, 128, 256],
    "depth": [1, 2, 3, 4, 5, 6],
    "seed": [1, 999],
}
START = {
    "data": "digits",
    "rate": 0.3,
    "std": 0.1,
    "batch": 60,
    "depth": 3,
    "activation": "sigmoid",
    "place": "before",
    "seed": 1,
}
# The stories, in the order in which they are told. Each differs from START by its settings.
PRESETS = {
    "figure1": {},
    "tuned": {"std": 0.3},
    "fast": {"rate": 10},
    "small": {"rate": 1, "std": 0.01},
    "four": {"std": 0.3, "batch": 4},
}
WORDS = {
    "title": {"ko": "여기서 직접 학습해 보기", "en": "Train it here"},
    "presets": {"ko": "이야기가 있는 설정", "en": "Settings with a story"},
    "figure1": {"ko": "논문의 그림 1", "en": "The paper’s Figure 1"},
    "figure1_story": {
        "ko": "BN은 바로 학습되기 시작한다. 기준 모델은 한참 무작위 수준에 머물다가 뒤늦게 오르고, 끝까지 "
        "따라잡지 못한다.",
        "en": "BN learns at once. The plain network stays at chance level for long, starts late, and does "
        "not catch up.",
    },
    "tuned": {"ko": "잘 맞춘 기준 모델", "en": "A tuned plain network"},
    "tuned_story": {
        "ko": "초기 가중치만 키웠는데 기준 모델이 따라온다. 앞에서 본 차이는 많은 부분이 설정의 차이였다.",
        "en": "Nothing but larger initial weights, and the plain network keeps up. Much of the gap was the "
        "setting.",
    },
    "fast": {"ko": "BN만 견디는 학습률", "en": "The rate at which only BN learns"},
    "fast_story": {
        "ko": "학습률이 너무 크면 기준 모델은 무작위 수준에서 벗어나지 못하고 그래디언트가 거의 사라진다. "
        "BN은 학습된다.",
        "en": "At a rate this high the plain network does not leave chance level, and next to nothing is "
        "left of its gradient. BN learns.",
    },
    "small": {"ko": "작은 초기 가중치", "en": "Small initial weights"},
    "small_story": {
        "ko": "가중치가 너무 작으면 기준 모델에서는 모든 이미지가 거의 같은 값이 되고, 그래디언트가 첫 "
        "층까지 닿지 못한다. BN은 가중치의 크기를 나누어 없앤다.",
        "en": "With weights this small the plain network makes nearly the same values of all images, and "
        "little of the gradient reaches the first layer. BN divides the size of the weights away.",
    },
    "four": {"ko": "네 개짜리 배치", "en": "A batch of 4"},
    "four_story": {
        "ko": "샘플 네 개의 평균과 분산은 스텝마다 크게 달라진다. 이번에는 BN의 정확도가 더 낮다. 평가에 "
        "쓰는 통계량도 바꾸어 보자.",
        "en": "The mean and the variance of four examples change a great deal from step to step. Here it "
        "is BN that does worse. Change what evaluation uses, too.",
    },
    "own": {"ko": "직접 정한 설정이다.", "en": "These are your own settings."},
    "start": {"ko": "시작", "en": "Start"},
    "pause": {"ko": "멈춤", "en": "Pause"},
    "go_on": {"ko": "계속", "en": "Go on"},
    "step": {"ko": "한 스텝", "en": "One step"},
    "reset": {"ko": "처음으로", "en": "Reset"},
    "link": {"ko": "설정 링크 복사", "en": "Copy link"},
    "copied": {"ko": "복사했습니다", "en": "Copied"},
    "refused": {"ko": "주소창의 주소를 복사하십시오", "en": "Copy the address above"},
    "at_step": {"ko": "{step}스텝 / {goal}", "en": "step {step} of {goal}"},
    "settings": {"ko": "설정", "en": "Settings"},
    "restarts": {
        "ko": "설정을 바꾸면 두 네트워크를 처음부터 다시 학습한다.",
        "en": "A change starts both networks anew.",
    },
    "data": {"ko": "데이터", "en": "Data"},
    "digits": {"ko": "숫자 8×8", "en": "digits, 8×8"},
    "mnist": {"ko": "MNIST 28×28 일부", "en": "MNIST sample"},
    "loading": {"ko": "MNIST를 불러오는 중이다.", "en": "Loading MNIST."},
    "absent": {
        "ko": "MNIST를 불러오지 못해 숫자로 돌아왔다. 인터넷 연결을 확인한 뒤 다시 고르십시오.",
        "en": "MNIST could not be loaded, so the digits are back. Check the connection and choose it again.",
    },
    "rate": {"ko": "학습률", "en": "Learning rate"},
    "std": {"ko": "초기 표준 편차", "en": "Initial std"},
    "batch": {"ko": "배치 크기", "en": "Batch size"},
    "depth": {"ko": "은닉층 수", "en": "Hidden layers"},
    "activation": {"ko": "활성화 함수", "en": "Activation"},
    "sigmoid": {"ko": "시그모이드", "en": "sigmoid"},
    "relu": {"ko": "ReLU", "en": "ReLU"},
    "place": {"ko": "BN의 위치", "en": "Place of BN"},
    "before": {"ko": "활성화 함수 앞", "en": "before activation"},
    "after": {"ko": "활성화 함수 뒤", "en": "after activation"},
    "seed": {"ko": "시드", "en": "Seed"},
    "now": {"ko": "지금의 값", "en": "The values now"},
    "network": {"ko": "네트워크", "en": "Network"},
    "plain": {"ko": "기준 모델", "en": "plain"},
    "bn": {"ko": "BN", "en": "BN"},
    "accuracy": {"ko": "테스트 정확도", "en": "Test accuracy"},
    "loss": {"ko": "훈련 손실", "en": "Training loss"},
    "saturated": {"ko": "포화된 입력", "en": "Saturated"},
    "dead": {"ko": "0 이하인 입력", "en": "At or below 0"},
    "failed": {"ko": "발산", "en": "diverged"},
    "evaluation": {"ko": "BN을 평가하는 통계량", "en": "BN is evaluated by"},
    "population": {"ko": "알고리즘 2", "en": "Algorithm 2"},
    "moving": {"ko": "이동 평균", "en": "moving average"},
    "batch_statistics": {"ko": "테스트 배치", "en": "the test batch"},
    "accuracy_paper": {"ko": "테스트 정확도, 논문의 축", "en": "Test accuracy, the paper’s axes"},
    "accuracy_log": {"ko": "테스트 정확도, 로그 축", "en": "Test accuracy, log axis"},
    "steps": {"ko": "스텝", "en": "step"},
    "steps_log": {"ko": "스텝(로그)", "en": "step (log)"},
    "percentiles_plain": {"ko": "유닛 {unit}의 입력, 기준 모델", "en": "Input of unit {unit}, plain"},
    "percentiles_bn": {"ko": "유닛 {unit}의 입력, BN", "en": "Input of unit {unit}, BN"},
    "percentiles_note": {
        "ko": "마지막 은닉층에서 활성화 함수에 들어가는 값의 백분위수 {percentiles}. 그 아래의 칸은 유닛 "
        "하나씩이며, 회색 부분에 든 입력이 많을수록 진하다. 누르면 그 유닛을 보여 준다.",
        "en": "Percentiles {percentiles} of what enters the nonlinearity, in the last hidden layer. Below "
        "them a cell for each unit, the stronger its colour the more of its inputs are in the grey part. "
        "Press one to see it.",
    },
    "unit": {"ko": "유닛", "en": "Unit"},
    "units": {"ko": "마지막 은닉층의 유닛", "en": "Units of the last hidden layer"},
    "histogram": {"ko": "마지막 은닉층의 입력", "en": "Inputs of the last hidden layer"},
    "histogram_note": {
        "ko": "모든 유닛. 회색은 기울기가 거의 0인 부분이며, 양 끝의 막대에는 축을 벗어난 값도 들어 있다.",
        "en": "All units. Grey: next to no slope. The bars at both ends also hold what lies beyond the axis.",
    },
    "gradients": {"ko": "층별 그래디언트 노름", "en": "Gradient norm by layer"},
    "gradients_note": {
        "ko": "마지막 스텝에서 가중치에 대한 그래디언트, 로그 축. 왼쪽이 첫 층, 오른쪽이 출력층이다.",
        "en": "Of the last step, by the weights, log axis. The first layer is on the left, the output on "
        "the right.",
    },
    "said": {
        "ko": "{step}스텝. 테스트 정확도는 기준 모델 {plain}, BN {bn}.",
        "en": "Step {step}. Test accuracy: plain {plain}, BN {bn}.",
    },
}


class LiveDirective(SphinxDirective):
    """```` ```{live} ``` ````; its content is for readers without JavaScript."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        shown = languages(self.config.edition)
        numbers = paper.numbers()
        given = {
            "start": START,
            "presets": PRESETS,
            "ranges": RANGES,
            "steps": STEPS,
            "languages": shown,
            "words": {key: {lang: words[lang] for lang in shown} for key, words in WORDS.items()},
            "axes": {
                "accuracy": [numbers["mnist.accuracy_axis_low"], numbers["mnist.accuracy_axis_high"]],
                "input": numbers["mnist.input_axis"],
            },
            "percentiles": numbers["mnist.percentiles"],
            "digits": digits(),
        }
        data = relative(self.env.app.builder, self.env.docname, f"_static/{FOLDER}/{MNIST.name}")
        given = json.dumps(given, ensure_ascii=False)
        box = tag("div", classes=CLASS, data_given=given, data_parts=data)
        self.state.nested_parse(self.content, self.content_offset, box)
        return [box]


def packed(side: int, images: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> dict[str, Any]:
    """Images (N, pixels) of 0 and 1 by split as ui.js reads them: bits in base64, labels as digits."""
    return {"side": side} | {
        split: {
            "images": base64.b64encode(np.packbits(images[split]).tobytes()).decode(),
            "labels": "".join(map(str, labels[split])),
        }
        for split in ("train", "test")
    }


def digits() -> dict[str, Any]:
    """scikit-learn's digits in black and white, parted as everywhere in the book: half brightness; the last
    ones are the test set."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = np.rint(found.images * (255 / 16)).reshape(len(found.images), -1) > 127
    parts = {"train": slice(None, -DIGITS_TEST), "test": slice(-DIGITS_TEST, None)}
    return packed(
        found.images.shape[1],
        {split: images[part] for split, part in parts.items()},
        {split: found.target[part] for split, part in parts.items()},
    )


def mnist() -> str:
    """The script with the sample of MNIST. Raises sources.DataError where MNIST cannot be had."""
    raw, images, labels = sources.contents("mnist"), {}, {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        count = MNIST_IMAGES[split]
        pixels = np.frombuffer(raw[f"MNIST/raw/{prefix}-images-idx3-ubyte"], np.uint8)[16:]
        images[split] = pixels.reshape(-1, 28 * 28)[:count] > 127
        labels[split] = np.frombuffer(raw[f"MNIST/raw/{prefix}-labels-idx1-ubyte"], np.uint8)[8 : 8 + count]
    return f"globalThis.bnLiveData = {json.dumps(packed(28, images, labels))};\n"


def write_mnist() -> None:
    """Make the committed script anew."""
    files.write(MNIST, mnist())


def _load(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    if doctree is not None and any(CLASS in box["classes"] for box in doctree.findall(Tag)):
        app.add_css_file(f"{FOLDER}/live.css", priority=802)
        for script in ("engine", "ui"):
            app.add_js_file(f"{FOLDER}/{script}.js", loading_method="defer")


def setup(app: Sphinx) -> None:
    app.add_directive("live", LiveDirective)
    app.connect("html-page-context", _load)

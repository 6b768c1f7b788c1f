"""Section 4.2: its bundles, its rules of choice, its instrument."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from bnbook import claims, paper
from bnbook import experiments as protocols
from bnbook.config import ConfigError
from bnbook.experiments.inception_first import protocol as first
from bnbook.experiments.inception_speedups import figures, first_epochs, measures, protocol
from bnbook.experiments.inception_speedups import training as experiment
from bnbook.experiments.inception_speedups.protocol import ARMS, INITIALS, LEARNS, PROFILES, Choice
from bnbook.nn.inception import GAUSSIAN_STD, Inception, LocalResponseNorm, initialise
from bnbook.records import MissingRecord, Record
from tests.experiments.inception_speedups import synthetic as synthetic_records
from tests.experiments.inception_speedups.synthetic import write_record

CPU, SMOKE = PROFILES["cpu"], PROFILES["smoke"]
CHOICE = Choice(initial="xavier", output_scale=0.1, lr=0.1, epochs=24, target=70.0)
CONFIGS = protocol.main(CPU, CHOICE)


def differing(one, other):
    return {key for key, value in one.to_dict().items() if other.to_dict()[key] != value}


# The plan


def test_everything_that_is_compared_computes_alike():
    """One precision, one instrument, one set of initial weights; seeds that chose nothing."""
    for field in ("precision", "statistics_batches", "curve_images", "evaluate_growth", "initial", "width"):
        assert len({getattr(one, field) for one in CONFIGS.values()}) == 1, field
    assert {one.precision for one in CONFIGS.values()} == {"float32"}
    assert all(one.tested for one in CONFIGS.values())
    chose = max(CPU.precision_seeds, CPU.initial_seeds, CPU.survival_seeds, CPU.pilot_seeds)
    assert min(seed for _, seed in protocol.jobs(CPU, CHOICE)) >= chose


def test_what_chooses_never_touches_the_test_set():
    initial = ("he", 1.0)
    stages = [protocol.initials(CPU), protocol.survival(CPU, initial), protocol.pilots(CPU, initial, [0.1])]
    assert not any(one.tested for stage in stages for one in stage.values())


def test_arms_differ_from_the_baseline_in_what_their_names_say():
    base = CONFIGS["inception"]
    assert differing(base, CONFIGS["bn_baseline"]) == {"variant", "norm"}
    rates = {"lr", "output_lr", "gamma_beta_lr"}
    assert differing(base, CONFIGS["inception_x5"]) == {"variant", "steps"} | rates
    changed = {"dropout", "weight_decay", "lr_decay", "lrn", "fixed_membership", "photometric"}
    assert differing(CONFIGS["bn_baseline"], CONFIGS["bn_x1_changed"]) == {"variant", "steps"} | changed
    assert differing(CONFIGS["bn_x1_changed"], CONFIGS["bn_x5"]) == {"variant"} | rates
    assert differing(CONFIGS["bn_x5"], CONFIGS["bn_x5_long"]) == {"variant", "steps"}
    assert differing(CONFIGS["bn_x5_long"], CONFIGS["bn_x5_long_r2"]) == {"variant", "lr_decay"}
    assert differing(CONFIGS["bn_x30"], CONFIGS["bn_x30_slow"]) == {"variant", "output_lr", "gamma_beta_lr"}
    assert CONFIGS["bn_x30_slow"].output_lr == CHOICE.lr == CONFIGS["bn_x30"].lr / 30
    sigmoids = [CONFIGS[name].lr for name in ARMS if name.startswith("inception_sigmoid")]
    assert sigmoids == pytest.approx([0.1, 0.03, 0.01])


def test_lengths_and_decays():
    """A third of the steps where the rate falls six times as fast; both end at the same share of x1 as 36
    epochs at 0.94 did."""
    assert CONFIGS["bn_x5"].steps * 3 == CONFIGS["inception"].steps == 24 * 351
    assert CONFIGS["inception"].lr_decay ** 24 == pytest.approx(0.94**36, rel=0.01)
    assert CONFIGS["bn_x5"].lr_decay ** 8 == pytest.approx(CONFIGS["inception"].lr_decay ** 48, rel=1e-3)
    assert CONFIGS["bn_x5_long_r"].lr_decay == CONFIGS["inception"].lr_decay


def test_seeds_of_the_arms():
    seeds = {name: sum(one.variant == name for one, _ in protocol.jobs(CPU, CHOICE)) for name in ARMS}
    assert [seeds[name] for name in ("inception", "bn_baseline", "bn_x5")] == [8, 8, 8]
    assert seeds["bn_x5_long"] == seeds["bn_x30"] == seeds["bn_x5_sigmoid"] == 5
    assert seeds["inception_x5"] == 3
    assert [one.variant for one, _ in protocol.jobs(CPU, CHOICE)][: len(ARMS)] == list(ARMS)  # seed-major


@pytest.mark.parametrize("name", ["inception", "bn_x5"])
def test_the_grid_of_evaluations(name):
    """From step 10, no gap over 7% (or an epoch, once that is finer), the last step included."""
    config = CONFIGS[name]
    judged = experiment.Judged({"test": split(), "validation": split()}, 125, None)
    batches = [(torch.zeros(1), None)] * (config.steps + config.statistics_batches)
    epochs = range(351, config.steps + 1, 351)
    probes = experiment.along_the_curve(config, judged, batches, epochs)
    steps = np.array(sorted(probes["test"].steps))
    assert steps[0] == 10 and steps[-1] == config.steps
    assert np.all(np.diff(steps) <= np.maximum(1, 0.0715 * steps[:-1] + 1))
    assert bool(probes["test"].population) == bool(probes["epochs"].population) == config.norm


def split():
    return experiment.Split(torch.zeros(3000, 1), torch.zeros(3000, dtype=torch.int64))


# What is chosen: records made up


def fake(config, seed, accuracy, earlier=None):
    """A record of `config` that ends at `accuracy` (0 to 1) on validation images."""
    suffix = "_population" if config.norm else ""
    curve = {
        "step": [config.steps * 5 // 6, config.steps],
        "validation_accuracy": [accuracy if earlier is None else earlier, accuracy],
    }
    return Record(
        schema=1,
        run_id=config.run_id,
        config=config.to_dict(),
        seed=seed,
        outcome={"status": "done", "step": config.steps},
        curves={"epochs": curve},
        final={
            "chance_accuracy": 0.1,
            "validation_accuracy": 0.1 if config.norm else accuracy,
            f"validation_accuracy{suffix}": accuracy,
        },
        first_losses=[],
        provenance={},
        arrays_sha256=None,
        path=None,
    )


@pytest.fixture
def shelf(monkeypatch):
    """Records by (run id, seed), in place of those on disk."""
    made = {}

    def load(folders, config, seeds):
        try:
            return [made[config.run_id, seed] for seed in seeds]
        except KeyError:
            raise MissingRecord(config.run_id) from None

    monkeypatch.setattr(protocol.records, "load", load)
    return made


def put(shelf, config, accuracies, earlier=None):
    for seed, accuracy in enumerate(accuracies):
        shelf[config.run_id, seed] = fake(config, seed, accuracy, earlier)


def put_initials(shelf, best=("xavier", 0.1)):
    for key, one in protocol.initials(CPU).items():
        put(shelf, one, [0.5 if key == best else 0.4] * CPU.initial_seeds)


def test_initial_weights_most_seeds_learn_with(shelf):
    """One seed more that learns counts for more than a better mean; among equals the mean decides."""
    put_initials(shelf)
    assert protocol.best_initial(CPU, []) == ("xavier", 0.1)
    put(shelf, protocol.initials(CPU)["he", 1.0], [0.9] * 9 + [LEARNS])
    assert protocol.best_initial(CPU, []) == ("xavier", 0.1)
    put(shelf, protocol.initials(CPU)["he", 0.1], [0.51] * 10)
    assert protocol.best_initial(CPU, []) == ("he", 0.1)


def put_survival(shelf, dies_from):
    for (norm, lr), one in protocol.survival(CPU, ("xavier", 0.1)).items():
        dead = not norm and lr >= dies_from
        put(shelf, one, [0.4] * 9 + [0.1 if dead else 0.4])


def test_admissible_is_where_every_seed_learns(shelf):
    put_initials(shelf)
    put_survival(shelf, dies_from=0.4)
    assert protocol.admissible(CPU, []) == [0.0125, 0.025, 0.05, 0.1, 0.2]
    put_survival(shelf, dies_from=0.0)
    assert protocol.admissible(CPU, []) == [0.0125]


def test_x1_length_and_target_come_from_the_pilot(shelf):
    put_initials(shelf)
    put_survival(shelf, dies_from=0.4)
    with pytest.raises(MissingRecord):
        protocol.choose(CPU, [])
    for lr, one in protocol.pilots(CPU, ("xavier", 0.1), [0.05, 0.1, 0.2]).items():
        put(shelf, one, [0.75 if lr == 0.1 else 0.7] * 3, earlier=0.748)
    assert protocol.choose(CPU, []) == Choice("xavier", 0.1, lr=0.1, epochs=24, target=73.0)
    assert {one.lr for one, _ in protocol.plan("pilot", CPU, [])} == {0.05, 0.1, 0.2}
    put(shelf, protocol.pilots(CPU, ("xavier", 0.1), [0.1])[0.1], [0.75] * 3, earlier=0.744)
    assert protocol.choose(CPU, []).epochs == CPU.longer_epochs  # it still rises


def test_a_network_with_batch_normalization_is_chosen_by_algorithm_2():
    one = protocol.survival(CPU, ("he", 1.0))[True, 0.1]
    assert protocol.learns(fake(one, 0, 0.4)) and not protocol.learns(fake(one, 0, 0.15))


def test_every_variant_has_a_trace():
    """For replay: what is committed is held against today's code."""
    traced = {config.variant for config in protocol.traces(60)}
    assert traced == {*ARMS, "survival_plain", "survival_bn", "pilot", "initial"}
    assert all(config.steps == 60 and config.data == "digits" for config in protocol.traces(60))


def test_a_reader_may_have_other_main_runs():
    """At what was chosen, but for what the reader asks for; what chose is as it was."""
    own = dataclasses.replace(CPU, lr=0.02, main_epochs=6, seeds=2, width=0.5)
    configs = protocol.main(own, CHOICE)
    assert configs["bn_x5"].lr == 0.1 and configs["inception"].lr == 0.02
    assert configs["inception"].steps == 6 * own.steps_per_epoch == 3 * configs["bn_x5"].steps
    assert configs["inception"].lr_decay == protocol.decay(6)
    assert {seed for _, seed in protocol.jobs(own, CHOICE)} == {20, 21}
    assert len(protocol.jobs(own, CHOICE)) == 2 * len(ARMS)


@pytest.mark.parametrize("learns", [True, False])
def test_a_reader_with_one_seed_of_each_sees_everything(tmp_path, monkeypatch, learns):
    """Numbers, figures and verdicts; also where nothing learns."""
    chosen = synthetic_records.results(tmp_path)
    if not learns:
        monkeypatch.setattr(synthetic_records, "MAIN", dict.fromkeys(ARMS, synthetic_records.DEAD))
    own = dataclasses.replace(chosen.profile, lr=0.02, seeds=1, main_epochs=1)
    for config, seed in protocol.jobs(own, chosen.choice):
        synthetic_records.write_curve(tmp_path, config, seed)
    found = protocol.results(chosen.profile, [tmp_path], main_sizes=own)
    assert {len(records) for records in found.main.values()} == {1} and found.choice == chosen.choice
    numbers = measures.numbers(found)
    assert (numbers["long_epochs"], numbers["inception.lr"]) == (1, 0.02)
    for figure in figures.FIGURES:
        figure.draw(found)
    claimed = {claim.id for claim in claims.board({protocol.EXPERIMENT: found}) if claim.estimate is not None}
    assert {"c-4.2-same-rate", "c-4.2-sigmoid"} <= claimed


# The records of two recipes beside one another


def test_a_record_is_read_by_its_recipe():
    row = protocols.EXPERIMENTS["inception_speedups"]
    earlier = first.main(first.PROFILES["smoke"], first.Choice(0.1, 0.9, 1e-4))["bn_x5"]
    again = protocol.main(SMOKE, CHOICE)["bn_x5"]
    assert row.config(earlier.to_dict()) == earlier and row.config(again.to_dict()) == again
    assert earlier.run_id != again.run_id
    with pytest.raises(ConfigError):
        row.config(again.to_dict() | {"recipe": 1})


# What is trained


@pytest.mark.parametrize("initial", INITIALS, ids=str)
def test_initial_weights(initial):
    """Standard deviations by their definitions; the output layer's alone is scaled."""
    model = Inception(0.25)
    initialise(model, "relu", torch.Generator().manual_seed(0), *initial)
    layer = model.blocks[0].wide.conv  # 24 -> 8 maps, 3x3
    expected = {
        "he": math.sqrt(2 / (24 * 9)),
        "xavier": math.sqrt(2 / ((24 + 8) * 9)),
        "gaussian": GAUSSIAN_STD,
    }[initial[0]]
    assert layer.weight.std().item() == pytest.approx(expected, rel=0.1)
    output = {"he": 1 / math.sqrt(84), "xavier": math.sqrt(2 / 94), "gaussian": GAUSSIAN_STD}[initial[0]]
    assert model.output.weight.std().item() == pytest.approx(initial[1] * output, rel=0.15)
    assert not any(module.bias.any() for module in model.modules() if isinstance(module, nn.Conv2d))


def test_unknown_initial_weights_are_refused():
    with pytest.raises(ValueError, match="initial is 'best'; it must be one of he, xavier, gaussian"):
        initialise(Inception(1 / 16), "relu", torch.Generator(), "best")


def test_local_response_normalization_changes_something():
    """On maps of unit spread after a ReLU: with GoogLeNet's alpha 4 parts in 100,000, with ours a tenth."""
    torch.manual_seed(0)
    u = torch.randn(4, 24, 8, 8).relu()
    weak, ours = (LocalResponseNorm(24, alpha=alpha)(u) for alpha in (1e-4, protocol.LRN_ALPHA))
    assert ((u - weak).norm() / u.norm()).item() < 1e-3
    assert ((u - ours).norm() / u.norm()).item() > 0.05
    config = protocol.main(SMOKE, CHOICE)["inception"]
    network = experiment.network(config, 0)
    band = network.lrn.band[:, :, 0, 0]
    assert band.max().item() == pytest.approx(protocol.LRN_ALPHA / 5)


@pytest.fixture(scope="module")
def measured():
    """A short run of BN-x5 on digits, whose curve is on all of them."""
    torch.set_num_threads(1)
    config = dataclasses.replace(protocol.main(SMOKE, CHOICE)["bn_x5"], steps=40, curve_images=1000)
    return experiment.train_run(config, 20, None)


def test_what_a_run_records(measured):
    fine, epochs = measured.curves["evaluation"], measured.curves["epochs"]
    assert "test_accuracy_population" in fine and "test_accuracy" not in fine
    assert fine["step"][0] == 10 and fine["step"][-1] == 40 and epochs["step"] == [40]
    for name in ("test_accuracy", "test_accuracy_population", "validation_accuracy_population"):
        assert 0 <= epochs[name][0] <= 1
    # The digits' test images are fewer than the curve asks for: both probes measured the same, the same way.
    assert fine["test_accuracy_population"][-1] == epochs["test_accuracy_population"][-1]


def test_a_run_that_chooses_measures_nothing_on_test_images():
    config = dataclasses.replace(protocol.survival(SMOKE, ("he", 1.0))[True, 0.1], steps=20)
    found = experiment.train_run(config, 0, None)
    assert not any("test" in name for curve in found.curves.values() for name in curve)
    assert not any("test" in name for name in found.final)
    assert "train_loss" in found.curves["evaluation"]


def test_the_instrument_is_tried_on_runs_that_train_the_same():
    """The configurations differ in what is measured alone; the seeds are those of the arms."""
    for name, again in protocol.instrument(CPU, CHOICE).items():
        assert differing(CONFIGS[name], again) == {"statistics_batches", "curve_images"}
        assert set(protocol.arm_seeds(CPU, 2)) <= set(protocol.arm_seeds(CPU, ARMS[name].seeds))


# What is measured


def test_seeds_that_learn_are_counted(synthetic):
    numbers = measures.numbers(synthetic)
    assert numbers["precision.float32_0.5.seeds"] == 4 and numbers["precision.runs"] == 16
    assert numbers["precision.float32_0.94.learned"] == 4 and numbers["precision.bfloat16_0.94.learned"] == 3
    assert numbers["precision.bfloat16_0.5.seed"] == pytest.approx(10)
    assert numbers["precision.float32_0.5.mean"] == pytest.approx(31.5)
    assert numbers["precision.stopped"] == 2 and numbers["precision.stopped_in_any"] == 1
    assert numbers["precision.stopped_in_all"] == 0
    assert numbers["precision.one_of_three"] == pytest.approx(100 * (1 - (14 / 16) ** 3))
    assert numbers["initial.gaussian_1.learned"] == 2 and numbers["initial.he_0.1.learned"] == 4
    assert numbers["initial.he_0.1.first_loss"] == pytest.approx(2.4)
    assert numbers["initial.full_width.gaussian_1.learned"] == 4


def test_how_high_a_rate_may_be(synthetic):
    """For all seeds, for any, and at the full width."""
    numbers = measures.numbers(synthetic)
    assert numbers["survival.plain.all"] == 0.1 and numbers["survival.plain.any"] == 0.2
    assert numbers["survival.bn.all"] == 0.8 and numbers["survival.bn.any"] == 1.6
    assert numbers["survival.ratio.all"] == pytest.approx(8)
    assert numbers["survival.bn_1.6.mean"] == pytest.approx(25)
    assert numbers["survival.full_width.bn.all"] == 0.4
    assert numbers["survival.full_width.ratio.all"] == pytest.approx(4)
    dead = [
        [dataclasses.replace(r, final=r.final | {"validation_accuracy": 0.1}) for r in cell]
        for cell in synthetic.stages["survival"].values()
    ]
    cells = dict(zip(synthetic.stages["survival"], dead, strict=True))
    none = measures.numbers(protocol.Results(SMOKE, {"survival": cells}))
    assert none["survival.bn.all"] == none["survival.plain.any"] == 0 and "survival.ratio.all" not in none


def test_what_was_chosen(synthetic):
    numbers = measures.numbers(synthetic)
    assert numbers["choice.lr"] == 0.1 and numbers["choice.epochs"] == SMOKE.longer_epochs
    assert numbers["choice.target"] == pytest.approx(58)
    assert numbers["pilot.mean_0.05"] == pytest.approx(55) and numbers["pilot.rise"] == pytest.approx(1)
    assert numbers["x30.lr"] == 3 and numbers["x30.nearest"] == 3.2 and numbers["x30.learned"] == 0
    assert numbers["x30.lowest"] == numbers["x30.highest"] == pytest.approx(10)


def test_a_run_made_twice(synthetic):
    """Alike on one machine; on another it may end elsewhere."""
    numbers = measures.numbers(synthetic)
    assert (numbers["again.elsewhere"], numbers["again.equal"]) == (0, 4)
    stages = synthetic.stages
    cell = list(stages["survival"][False, 0.1])
    cell[1] = dataclasses.replace(
        cell[1],
        final=cell[1].final | {"validation_accuracy": 0.15},
        provenance=cell[1].provenance | {"hardware": "another"},
    )
    changed = stages | {"survival": stages["survival"] | {(False, 0.1): cell}}
    numbers = measures.numbers(dataclasses.replace(synthetic, stages=changed))
    assert (numbers["again.elsewhere"], numbers["again.equal"]) == (1, 3)
    assert numbers["again.first"] == pytest.approx(40) and numbers["again.second"] == pytest.approx(15)


def test_the_full_width_stands_beside_a_narrower_one(monkeypatch, tmp_path):
    wide = dataclasses.replace(SMOKE, width=1.0)
    monkeypatch.setitem(PROFILES, "paper", wide)
    for profile in (SMOKE, wide):
        for one in protocol.initials(profile).values():
            write_record(tmp_path, one, 0, 0.3)
    found = protocol.results(SMOKE, [tmp_path])
    assert set(found.full_width) == {"initial"} and len(found.records("initial")) == 2 * len(INITIALS)
    assert not protocol.results(wide, [tmp_path]).full_width


def test_the_same_share_of_seeds_is_no_finding(synthetic):
    """Four of four against three of four is chance; twenty of twenty against none is not."""
    assert measures.numbers(synthetic)["precision.p"] == pytest.approx(1.0)
    one = protocol.initials(CPU)["he", 1.0]
    alive, dead = ([fake(one, seed, accuracy) for seed in range(20)] for accuracy in (0.5, 0.1))
    assert measures.same_survival(alive, dead) < 1e-10


def test_seeds_count_up_to_the_first_that_is_missing(tmp_path):
    """And a stage counts once each of its configurations has a seed."""
    configs = protocol.precision(SMOKE)
    profile = dataclasses.replace(SMOKE, precision_seeds=5)
    with pytest.raises(MissingRecord, match="second registration"):
        protocol.results(profile, [tmp_path])
    for index, one in enumerate(configs.values()):
        with pytest.raises(MissingRecord):
            protocol.results(profile, [tmp_path])
        for seed in (0, 1, 3) if index == 0 else (0,):
            write_record(tmp_path, one, seed, 0.3)
    found = protocol.results(profile, [tmp_path])
    assert list(found.stages) == ["precision"]
    assert [len(cell) for cell in found.stages["precision"].values()] == [2, 1, 1, 1]


def test_figures_of_the_first_epochs(synthetic):
    """Every dot within its panel, with the full width's panel and without."""
    narrow = dataclasses.replace(synthetic, full_width={})
    cases = ((first_epochs.precision, synthetic, 16), (first_epochs.initial, synthetic, 48))
    for draw, results, rows in (*cases, (first_epochs.initial, narrow, 24)):
        canvas, table = draw(results)
        table = table[table["kind"] == "run"]
        assert len(table) == rows and len(canvas.axes) == (2 if rows == 48 else 1)
        values = table["validation_accuracy_percent"]
        for ax in canvas.axes:
            assert "4 of 4 learn" in [text.get_text() for text in ax.texts]
            assert ax.get_xlim()[0] < values.min() and values.max() < ax.get_xlim()[1]


# The main stage: made-up curves that rise to `END` and are halfway at `HALFWAY` steps

END = {"inception": 0.76, "bn_baseline": 0.80, "bn_x5": 0.81, "bn_x30": 0.82, "bn_x5_sigmoid": 0.7}
HALFWAY = {"inception": 100.0, "bn_baseline": 40.0, "bn_x5": 10.0, "bn_x30": 15.0, "bn_x5_sigmoid": 20.0}
TARGET = 70.0


def risen(config, seed, end, halfway):
    """A record whose curve is end * t / (t + halfway), a little faster with every seed."""
    steps = np.unique(np.geomspace(10, config.steps, 150).round().astype(int))
    halfway *= 1 - 0.01 * (seed - 20)
    accuracies = [float(end * step / (step + halfway)) for step in steps]
    name = "test_accuracy_population" if config.norm else "test_accuracy"
    final = {"chance_accuracy": 0.1, "validation_accuracy": end, "test_accuracy": end}
    if config.norm:
        final |= {"validation_accuracy_population": end, "test_accuracy_population": end}
    return dataclasses.replace(
        fake(config, seed, end),
        final=final,
        curves={
            "evaluation": {"step": steps.tolist(), name: accuracies},
            "epochs": {"step": [config.steps], name: [end + 0.001]},
        },
    )


@pytest.fixture(scope="module")
def ended():
    """Results of the whole main stage; seed 20 of BN-x30 stays at chance."""
    choice = dataclasses.replace(CHOICE, target=TARGET)
    main = {name: [] for name in ARMS}
    for config, seed in protocol.jobs(CPU, choice):
        name = config.variant
        end = END.get(name, 0.1 if "sigmoid" in name or name == "inception_x5" else 0.78)
        end = 0.1 if (name, seed) == ("bn_x30", 20) else end
        main[name].append(risen(config, seed, end, HALFWAY.get(name, 30.0)))
    return protocol.Results(CPU, {"main": main}, choice)


def passes(arm, seed):
    """The step at which that curve passes the target."""
    return TARGET / (100 * END[arm] - TARGET) * HALFWAY[arm] * (1 - 0.01 * (seed - 20))


def test_speedups_are_those_of_the_curves(ended):
    for slow, fast in (("inception", "bn_x5"), ("inception", "bn_baseline")):
        expected = np.mean([passes(slow, seed) for seed in range(20, 28)]) / np.mean(
            [passes(fast, seed) for seed in range(20, 28)]
        )
        found = measures.speedup(ended, slow, fast)
        assert found.interval.estimate == pytest.approx(expected, rel=0.06)
        assert found.interval.low < expected < found.interval.high and found.bound is None
        assert "8/8 of Inception" in found.detail["en"]


def test_a_seed_at_chance_is_a_share_and_no_accuracy(ended):
    found = measures.gain(ended, "bn_x30", "bn_x5")
    assert found.interval.n == 4 and found.interval.estimate == pytest.approx(1.0)
    assert "4/5" in found.detail["en"]
    slower = measures.speedup(ended, "bn_x30", "bn_x5")
    assert "4/5 of BN-x30" in slower.detail["en"] and np.isfinite(slower.interval.high)


def test_accuracies_that_cannot_be_compared_are_not(ended):
    with pytest.raises(MissingRecord, match="fewer than two seeds learn in inception_x5"):
        measures.gain(ended, "inception_x5", "bn_x5")


def test_the_ratio_at_every_accuracy(ended):
    """It ends where the slower network's worst seed does, and grows with the accuracy."""
    found = measures.profile(ended, "inception", "bn_x5")
    assert found[0].accuracy == measures.PROFILE_FROM and found[-1].accuracy == 75
    assert found[-1].ratio.estimate > found[0].ratio.estimate > 1
    assert all(one.ratio.low < one.ratio.estimate < one.ratio.high for one in found)


def test_sigmoids(ended):
    assert measures.sigmoid_rate(ended) == "inception_sigmoid_x1"  # all alike: the first
    assert measures.sigmoid_gain(ended).interval.estimate == pytest.approx(60)


def test_usable_rates_know_the_step_of_their_grid(ended):
    cells = {
        key: [fake(one, seed, 0.4 if key[1] <= (3.2 if key[0] else 0.1) else 0.1) for seed in range(4)]
        for key, one in protocol.survival(CPU, ("he", 1.0)).items()
    }
    found = measures.usable_rates(protocol.Results(CPU, {"survival": cells}))
    assert found.interval.estimate == pytest.approx(32) and found.bound is None
    assert found.interval.low == pytest.approx(16) and found.interval.high == pytest.approx(64)
    with pytest.raises(MissingRecord):
        measures.usable_rates(ended)


def test_every_rule_of_section_4_2_has_its_statistic():
    rules = [rule for rule in paper.claims().values() if rule.get("experiment") == "inception_speedups"]
    assert {rule["statistic"] for rule in rules} == set(measures.STATISTICS)


def test_the_survival_curve():
    """All seeds up to a rate and none above it; the bands are the exact ones of a share."""
    cells = {
        key: [fake(one, seed, 0.4 if key[1] <= (3.2 if key[0] else 0.1) else 0.1) for seed in range(10)]
        for key, one in protocol.survival(CPU, ("he", 1.0)).items()
    }
    all_of_them = measures.survivors(cells[True, 0.1])
    assert all_of_them.estimate == all_of_them.high == 1.0
    assert all_of_them.low == pytest.approx(0.025 ** (1 / 10))  # ten of ten, two-sided 95%
    canvas, table = first_epochs.survival(protocol.Results(CPU, {"survival": cells}))
    assert len(canvas.axes) == 1
    shares = table.set_index(["network", "learning_rate"])["learned_percent"]
    assert shares["without BN", 0.1] == 100 and shares["without BN", 0.2] == 0
    assert shares["with BN", 3.2] == 100 and shares["with BN", 6.4] == 0


def test_the_survival_curve_at_the_full_width(synthetic):
    canvas, table = first_epochs.survival(synthetic)
    assert len(canvas.axes) == 2
    shares = table.set_index(["width", "network", "learning_rate"])["learned_percent"]
    assert shares[SMOKE.width, "with BN", 0.8] == 100 and shares[1.0, "with BN", 0.8] == 50


def test_the_instrument_moves_crossings_by_what_its_curves_differ(ended):
    """The same curves: not at all. Curves a twentieth later: by about that."""
    again = {name: ended.stages["main"][name][:2] for name in protocol.MEASURED_AGAIN}
    stages = ended.stages | {"instrument": again}
    assert set(measures.instrument_shifts(dataclasses.replace(ended, stages=stages))) == {1.0}
    configs = protocol.instrument(CPU, ended.choice)
    later = {
        name: [risen(one, seed, END.get(name, 0.78), 1.05 * HALFWAY.get(name, 30.0)) for seed in (20, 21)]
        for name, one in configs.items()
    }
    stages = ended.stages | {"instrument": later}
    moved = measures.instrument_shifts(dataclasses.replace(ended, stages=stages))
    assert 1.02 < moved.mean() < 1.12 and moved.min() >= 1


def test_figures_of_the_main_stage(ended):
    canvas, table = figures.test_accuracy(ended)
    assert set(table["network"].dropna()) == {ARMS[name].name for name in figures.FIVE}
    _, table = figures.reached(ended)
    table = table[table["kind"] == "run"]
    at_chance = table[(table["network"] == "BN-x30") & (table["reached"] == False)]  # noqa: E712
    assert at_chance["seed"].tolist() == [20] and len(table) == 3 * 8 + 2 * 5
    canvas, table = figures.times_the_steps(ended)
    words = [text.get_text() for text in canvas.axes[0].texts]
    assert {"paper 2.3", "paper 14.8", "paper 6.3"} <= set(words)
    ratio = table.query("kind == 'mean' and fast_network == 'BN-x5' and slow_network == 'Inception'")
    assert ratio.set_index("test_accuracy_percent")["steps_ratio"][70] == pytest.approx(
        measures.speedup(ended, "inception", "bn_x5").interval.estimate, rel=0.1
    )
    canvas, table = figures.ends(ended)
    notes = [text.get_text() for text in canvas.axes[0].texts]
    assert "82.0%; 1 of 5 at chance" in notes
    assert sum(table["kind"] == "run") == sum(ARMS[name].seeds for name in figures.ENDS)

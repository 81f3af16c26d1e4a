"""From a table to what the flow sees: splitting, columns, noise, recipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.fits import tiny_recipe
from training import datasets
from training.columns import describe_columns
from training.prepared import prepare
from training.recipes import FAMILIES, Recipe, read_recipe, shipped_recipes
from training.streams import Stream
from training.table import Table, split

NONE: frozenset[str] = frozenset()


def table(rows: int = 400, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    columns = {
        "pressure": rng.normal(5.0, 2.0, rows),
        "count": rng.poisson(7.0, rows).astype(float),
        "site": np.full(rows, 3.0),
        "spiky": np.where(rng.random(rows) < 0.9, 0.0, rng.standard_cauchy(rows)),
        "pressure_psi": np.zeros(rows),
    }
    columns["pressure_psi"] = columns["pressure"] * 14.5
    return Table("made", tuple(columns), np.stack(list(columns.values()), axis=1))


class TestSplit:
    def test_parts_are_disjoint_and_complete(self) -> None:
        rows = np.arange(1000.0).reshape(-1, 1)
        parts = split(Table("t", ("x",), rows), seed=3)
        disjoint = (parts.train, parts.validation, parts.calibration, parts.test)
        kept = np.concatenate([part.rows for part in disjoint])
        assert sorted(kept[:, 0]) == sorted(rows[:, 0])
        assert [len(parts.validation), len(parts.calibration), len(parts.test)] == [100] * 3

    def test_a_data_set_with_its_own_test_keeps_it(self) -> None:
        parts = split(Table("t", ("x",), np.zeros((100, 1)), test=np.ones((7, 1))), seed=0)
        assert len(parts.train) == 80
        assert (parts.test.rows == 1).all()

    def test_too_few_rows_are_refused(self) -> None:
        with pytest.raises(ValueError, match="at least 50 rows to split, got 49"):
            split(Table("t", ("x",), np.zeros((49, 1))), seed=0)


class TestColumns:
    def test_kinds_and_remarks(self) -> None:
        made = table()
        found = {c.name: c for c in describe_columns(made.columns, made.rows, NONE).all}
        assert [found[n].kind for n in made.columns[:2]] == ["continuous", "integer"]
        assert found["site"].constant
        assert not found["count"].constant
        assert "collinear with pressure" in found["pressure_psi"].notes[0]
        assert found["pressure"].scale == pytest.approx(2.0, rel=0.2)

    def test_a_spike_with_outliers_gets_a_usable_scale_and_tight_tails(self) -> None:
        made = table()
        found = {c.name: c for c in describe_columns(made.columns, made.rows, NONE).all}
        assert 0 < found["spiky"].scale < found["spiky"].deviation
        assert found["spiky"].tightness > found["pressure"].tightness

    def test_bounds_and_pile_ups_are_pointed_out(self) -> None:
        rng = np.random.default_rng(0)
        share, wait = rng.beta(2, 2, 500), rng.exponential(3.0, 500)
        censored = np.minimum(rng.normal(5.0, 1.0, 500), 5.5)
        rows, names = np.stack([share, wait, censored], axis=1), ("share", "wait", "censored")
        first, second, third = describe_columns(names, rows, NONE, {}).all
        assert first.notes == ("bounded by 0 and 1, modelled as open (bounds: {share: [0, 1]})",)
        assert second.notes == (
            "bounded below by 0, modelled as open (bounds: {wait: [0, null]})",
        )
        assert "of the rows at the high end, 5.5" in third.notes[0]
        plain = describe_columns(names, rows, NONE).all
        assert [column.notes for column in plain] == [(), (), ()]

    def test_whole_numbers_may_be_declared_continuous(self) -> None:
        made = table()
        found = describe_columns(made.columns, made.rows, frozenset({"count"}))
        assert found.all[1].kind == "continuous"

    def test_declaring_an_unknown_column_names_it(self) -> None:
        made = table()
        with pytest.raises(ValueError, match="wind"):
            describe_columns(made.columns, made.rows, frozenset({"wind"}))

    def test_nothing_that_varies_is_refused(self) -> None:
        with pytest.raises(ValueError, match="all are constant"):
            describe_columns(("a",), np.ones((60, 1)), NONE)

    def test_values_beyond_float32_are_refused_by_column(self) -> None:
        rows = np.random.default_rng(0).normal(size=(60, 2)) * [1.0, 1e200]
        with pytest.raises(ValueError, match=r"up to 3.4e\+38, got larger ones in 'b'"):
            describe_columns(("a", "b"), rows, NONE)

    def test_noise_stays_within_the_cell_and_leaves_the_rest_alone(self) -> None:
        made = table()
        columns = describe_columns(made.columns, made.rows, NONE)
        noisy = columns.dequantise(made.rows, np.random.default_rng(0))
        moved = noisy - made.rows
        assert (np.abs(moved[:, 1]) <= 0.5).all()
        assert moved[:, 1].std() == pytest.approx(12**-0.5, rel=0.1)
        assert (moved[:, [0, 2, 3, 4]] == 0).all()

    def test_timestamps_ask_for_float64(self) -> None:
        seconds = 1.7e9 + np.random.default_rng(0).normal(0.0, 60.0, (100, 1))
        assert describe_columns(("time",), seconds, NONE).needs_float64_input()
        assert not describe_columns(("time",), seconds - 1.7e9, NONE).needs_float64_input()


class TestSupport:
    def test_changed_constants_and_fractions_are_outside(self) -> None:
        made = table()
        columns = describe_columns(made.columns, made.rows, NONE)
        rows = made.rows[:4].copy()
        rows[1, 2] = 4.0  # site, constant
        rows[2, 1] = 2.5  # count, whole
        assert columns.in_support(rows).tolist() == [True, False, False, True]

    def test_whole_numbers_beyond_float32_ask_for_float64(self) -> None:
        rows = np.arange(0.0, 2.0**26, 2.0**16).reshape(-1, 1)
        assert describe_columns(("id",), rows, NONE).needs_float64_input()


class TestPrepared:
    def test_the_flow_sees_unit_moments_and_a_consistent_log_det(self) -> None:
        prepared = prepare(Recipe(name="t"), table(4000))
        noise = prepared.noise(Stream.TEST)
        rows = prepared.flow_input(prepared.split.train, noise)
        x, log_det = rows.x, rows.log_det
        assert rows.context is None
        assert x.shape == (len(prepared.split.train), 4)
        assert x.mean(dim=0).abs().max() < 0.05
        assert (x.std(dim=0) - 1).abs().max() < 0.05
        assert log_det.shape == (len(x),)

    def test_a_context_is_set_apart_in_the_order_given_and_scaled(self) -> None:
        made = table(4000)
        names = (made.columns[3], made.columns[0])
        prepared = prepare(Recipe(name="t", context=names), made)
        assert tuple(c.name for c in prepared.context.all) == names
        assert not set(names) & {c.name for c in prepared.columns.all}
        rows = prepared.flow_input(prepared.split.train, prepared.noise(Stream.TEST))
        assert rows.context is not None
        assert rows.context.shape == (len(rows), 2)
        assert (rows.context.std(dim=0) - 1).abs().max() < 0.05

    def test_a_context_that_is_not_there_or_leaves_nothing_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"not in the data: wind; there are: .*, spiky"):
            prepare(Recipe(name="t", context=("wind",)), table())
        with pytest.raises(ValueError, match="columns beside the context"):
            prepare(Recipe(name="t", context=table().columns), table())
        with pytest.raises(ValueError, match="a context that varies, all of site is constant"):
            prepare(Recipe(name="t", context=("site",)), table())

    def test_noise_of_a_stream_repeats_and_differs_between_epochs(self) -> None:
        prepared = prepare(Recipe(name="t"), table())
        first, again, other = (prepared.noise(Stream.BATCHES, e).random(4) for e in (1, 1, 2))
        assert (first == again).all()
        assert (first != other).any()

    def test_dropped_columns_are_gone_and_unknown_ones_named(self) -> None:
        whole, kept = table(), table().without(frozenset({"spiky"}))
        assert kept.columns == (*whole.columns[:3], whole.columns[4])
        assert (kept.rows == whole.rows[:, [0, 1, 2, 4]]).all()
        with pytest.raises(ValueError, match="wind"):
            whole.without(frozenset({"wind"}))


class TestDatasets:
    def test_shuttle_is_the_one_described(self) -> None:
        shuttle = datasets.load("shuttle")
        assert shuttle.test is not None
        assert shuttle.anomalies is not None
        assert len(shuttle.rows) + len(shuttle.test) + len(shuttle.anomalies) == 49_097
        assert len(shuttle.anomalies) == 3_511
        assert shuttle.rows.shape[1] == 9
        assert "anomaly" not in shuttle.columns

    def test_unknown_names_list_the_known(self) -> None:
        with pytest.raises(ValueError, match="breast_cancer, digits, shuttle"):
            datasets.load("mnist")


class TestRecipes:
    @pytest.mark.parametrize("name", shipped_recipes())
    def test_shipped_recipes_are_valid(self, name: str) -> None:
        assert read_recipe(name).name == name

    def test_settings_reach_their_section(self) -> None:
        recipe = read_recipe("table", ["epochs=7", "model.bins=4", "seed=5", "drop=[a]"])
        assert (recipe.fit.epochs, recipe.model.bins, recipe.seed) == (7, 4, 5)
        assert recipe.drop == {"a"}

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (["epochs=0"], "fit.epochs: .*greater than or equal to 1, got 0"),
            (["epoch=5"], "no setting 'epoch'; there are: .*epochs"),
            (["epochs"], "expected --set KEY=VALUE, got 'epochs'"),
            (["tail_bound=3"], "^recipe: model.tail_bound: expected a power of two.*got 3$"),
            (
                ["family=gaussian"],
                "no family 'gaussian'; there are: planar, .*, mixed, autoencoder, vae$",
            ),
            (
                ["family=realnvp", "bins=4"],
                "recipe: family realnvp has no setting 'bins'; it has: base",
            ),
            (["fit.epoch=4"], "recipe: fit has no setting 'epoch'; it has: epochs, batch_rows"),
            (["fitting.epochs=4"], "recipe: no setting 'fitting'; there are: name"),
            (["family=cnf", "hidden=[64]"], "^recipe: model.hidden"),
            (
                ["family=mixed", "layers=[{family: maf, bins: 4}]"],
                "^recipe: family maf has no setting 'bins'",
            ),
            (
                ["family=mixed", "layers=[{family: glow}]"],
                "^recipe: model.layers.0: no family 'glow'; there are: planar, ",
            ),
            (["family=cnf", "base=student_t"], "flow_matching needs base: standard_normal"),
            (["family=diffusion", "base=uniform"], "diffusion needs base: standard_normal"),
            (["layers=[{family: maf}]"], "a list of layers needs family: mixed"),
            (["family=mixed", "layers=[{family: maf, base: uniform}]"], "base beside the layers"),
            (
                ["family=mixed", "layers=[{family: cnf}, {family: maf}]"],
                "as the last of the layers",
            ),
            (
                ["family=mixed", "base=uniform", "layers=[{family: maf}, {family: diffusion}]"],
                "needs base: standard_normal",
            ),
            (["context=[a]", "bounds={a: [0, 1]}"], "no bounds of context columns.*'a'"),
            (["learning_rate=fast"], "learning_rate"),
            (["hidden=[64"], "not valid YAML"),
        ],
    )
    def test_bad_settings_say_what_was_expected(self, settings: list[str], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            read_recipe("table", settings)

    @pytest.mark.parametrize("family", FAMILIES)
    def test_a_recipe_written_out_whole_reads_back_the_same(self, family: str) -> None:
        recipe = tiny_recipe(family, ("shift",))
        assert Recipe.model_validate(recipe.model_dump()) == recipe
        assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe

    def test_a_recipe_file_of_another_kind_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "list.yaml"
        path.write_text("- 1\n- 2\n")
        with pytest.raises(ValueError, match="expected a mapping of settings, got list"):
            read_recipe(str(path))

    def test_an_unknown_recipe_lists_the_shipped(self) -> None:
        with pytest.raises(ValueError, match=r"give a YAML file or one of: .*shuttle, table"):
            read_recipe("nothing.yaml")

"""When models and the publication are made anew, judged by Dagster's own evaluation of the conditions."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from shopsphere_assets.defs.raw import factory
from shopsphere_assets.defs.raw.factory import SOURCE_TAG
from shopsphere_assets.defs.warehouse.conditions import AFTER_UPSTREAM, AUTOMATION_TAGS

MORNING = datetime(2026, 3, 1, 8, 1, tzinfo=UTC)
"""A minute past the quarter of an hour at which failed assets get another chance."""

MODELS = {"stg_orders", "fct_orders", "publication"}
OTHERS = {"stg_events", "fct_sessions"}
ORDERS = dg.AssetKey(["raw", "orders"])


class World:
    """A small platform: two raw tables, two chains of models in one op as dbt's are, one publication.

    ``broken``: what fails when it is materialized; ``blocked``: raw tables whose check fails.
    """

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.now = instance, MORNING
        self.broken: set[str] = set()
        self.blocked: set[str] = set()
        self._cursor: Any = None
        self._code_versions: dict[str, str] = {}
        self.definitions = self._definitions()

    def _definitions(self) -> dg.Definitions:
        world = self

        def raw(name: str) -> dg.AssetsDefinition:
            key = dg.AssetKey(["raw", name])

            @dg.asset(key=key, check_specs=[dg.AssetCheckSpec("quarantine_share", asset=key, blocking=True)])
            def made() -> Iterator[dg.MaterializeResult[None]]:
                yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=name not in world.blocked)])

            return made

        def model(name: str, *parents: dg.AssetKey) -> dg.AssetSpec:
            return dg.AssetSpec(
                name,
                deps=parents,
                automation_condition=AFTER_UPSTREAM,
                skippable=True,
                code_version=self._code_versions.get(name, "1"),
            )

        @dg.multi_asset(
            specs=[
                model("stg_orders", dg.AssetKey(["raw", "orders"])),
                model("fct_orders", dg.AssetKey("stg_orders")),
                model("stg_events", dg.AssetKey(["raw", "events"])),
                model("fct_sessions", dg.AssetKey("stg_events")),
            ],
            can_subset=True,
        )
        def models(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
            bad = set()
            for name in ("stg_orders", "fct_orders", "stg_events", "fct_sessions"):
                if dg.AssetKey(name) in context.selected_asset_keys:
                    if name in world.broken:
                        bad.add(name)
                    else:
                        yield dg.MaterializeResult(asset_key=name)
            if bad:
                raise dg.Failure(f"{bad} failed", allow_retries=False)

        @dg.asset(deps=["fct_orders", "fct_sessions"], automation_condition=AFTER_UPSTREAM, output_required=False)
        def publication() -> Iterator[dg.MaterializeResult[None]]:
            yield dg.MaterializeResult()

        return dg.Definitions(assets=[raw("orders"), raw("events"), models, publication])

    def ingest(self, *names: str) -> None:
        """Materialize raw tables, as a sensor's run does."""
        self._run({dg.AssetKey(["raw", name]) for name in names}, {SOURCE_TAG: "shop"})

    def change_code(self, model: str) -> None:
        """Give a model another code version."""
        self._code_versions[model] = "2"
        self.definitions = self._definitions()

    def tick(self, *, seconds: int = 15, is_run: bool = True) -> set[str]:
        """Let time pass and evaluate the conditions; what they ask for is run, unless told otherwise."""
        self.now += timedelta(seconds=seconds)
        result = dg.evaluate_automation_conditions(
            self.definitions,
            self.instance,
            # Named, because the default is a beta feature of Dagster's that warns.
            asset_selection=dg.AssetSelection.all(),
            cursor=self._cursor,
            evaluation_time=self.now,
        )
        self._cursor = result.cursor
        requested = {r.key.to_user_string() for r in result.results if not r.true_subset.is_empty}
        if requested and is_run:
            self.build(requested)
        return requested

    @contextmanager
    def under_way(self, *keys: dg.AssetKey) -> Iterator[None]:
        """A run of ``keys`` that has begun and made nothing yet, as long as the block lasts."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        run = self.instance.create_run_for_job(job, asset_selection=frozenset(keys), status=dg.DagsterRunStatus.STARTED)
        yield
        self.instance.report_run_canceled(run)

    def sensor_waits(self) -> bool:
        """Whether the sensor of the raw tables leaves a build the time to begin."""
        last = factory._last_run(self.instance, {SOURCE_TAG: "shop"})
        return factory._build_to_wait_for(self.instance, last, datetime.now(UTC)) is not None

    def build(self, names: set[str], *, by_hand: bool = False) -> None:
        """Materialize models, as the daemon does after a tick or a person does."""
        tags = {} if by_hand else AUTOMATION_TAGS
        self._run({dg.AssetKey(name) for name in names}, tags)

    def _run(self, keys: set[dg.AssetKey], tags: dict[str, str] | None = None) -> None:
        self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance, asset_selection=sorted(keys), tags=tags, raise_on_error=False
        )


@pytest.fixture
def world() -> Iterator[World]:
    with dg.DagsterInstance.ephemeral() as instance:
        world = World(instance)
        assert world.tick() == set()  # what there is when the daemon first starts counts as seen
        world.ingest("orders", "events")
        assert world.tick() == MODELS | OTHERS
        assert world.tick() == set()
        yield world


def test_new_rows_ask_once_for_all_that_is_made_of_them_together(world: World) -> None:
    world.ingest("orders")
    assert world.tick() == MODELS
    assert [world.tick() for _ in range(3)] == [set()] * 3


def test_nothing_is_asked_for_while_the_run_that_was_asked_for_waits(world: World) -> None:
    world.ingest("orders")
    assert world.tick(is_run=False) == MODELS
    assert [world.tick() for _ in range(3)] == [set()] * 3


def test_a_change_while_the_run_is_under_way_asks_for_one_more(world: World) -> None:
    world.ingest("orders")
    asked_for = world.tick(is_run=False)
    world.ingest("orders")
    world.build(asked_for)
    assert world.tick() == MODELS
    assert [world.tick() for _ in range(2)] == [set()] * 2


def test_models_built_by_hand_are_not_built_again(world: World) -> None:
    world.ingest("orders")
    world.build(MODELS, by_hand=True)
    assert [world.tick() for _ in range(2)] == [set()] * 2


def test_a_failed_model_is_asked_for_at_the_next_quarter_and_not_at_every_change(world: World) -> None:
    world.broken = {"fct_orders"}
    world.ingest("orders")
    assert world.tick() == MODELS
    for _ in range(3):
        world.ingest("orders")
        assert world.tick() == {"stg_orders"}
    # 08:15 passes; with the fault still there it is one attempt for the quarter of an hour.
    assert world.tick(seconds=15 * 60) == {"fct_orders", "publication"}
    assert world.tick() == set()
    world.ingest("orders")
    assert world.tick() == {"stg_orders"}


def test_after_the_repair_model_and_publication_are_made_at_the_next_quarter(world: World) -> None:
    world.broken = {"fct_orders"}
    world.ingest("orders")
    world.tick()
    world.broken = set()
    assert world.tick() == set()
    # Without any change upstream.
    assert world.tick(seconds=15 * 60) == {"fct_orders", "publication"}
    assert world.tick(seconds=15 * 60) == set()
    world.ingest("orders")
    assert world.tick() == MODELS


def test_a_failed_model_whose_code_is_corrected_is_made_at_once(world: World) -> None:
    world.broken = {"fct_orders"}
    world.ingest("orders")
    world.tick()
    world.broken = set()
    assert world.tick() == set()
    world.change_code("fct_orders")
    assert world.tick() == {"fct_orders"}
    assert world.tick() == set()


def test_a_failed_model_does_not_hold_up_the_others(world: World) -> None:
    world.broken = {"fct_orders"}
    world.ingest("orders")
    world.tick()
    world.ingest("events")
    assert world.tick() == OTHERS


def test_a_failed_blocking_check_holds_back_what_is_made_of_the_table_and_nothing_else(world: World) -> None:
    world.blocked = {"orders"}
    world.ingest("orders", "events")
    assert world.tick() == OTHERS | {"publication"}
    world.ingest("orders")
    assert [world.tick(seconds=15 * 60) for _ in range(2)] == [set()] * 2
    world.blocked = set()
    world.ingest("orders")
    assert world.tick() == MODELS


def test_what_is_being_read_is_waited_for_so_that_one_build_takes_all(world: World) -> None:
    world.ingest("orders")
    with world.under_way(ORDERS):
        assert world.tick() == set()
        world.ingest("events")
        # The models of events do not need orders.
        assert world.tick() == OTHERS | {"publication"}
    world.ingest("orders")
    assert world.tick() == MODELS


def test_a_source_that_has_news_at_every_look_does_not_keep_its_models_waiting(world: World) -> None:
    """The sensor starts the next read as soon as it may, and ends it only after another look of the daemon's."""
    for _ in range(4):
        waited = 0
        while world.sensor_waits():
            assert waited == 0
            assert world.tick(seconds=5) == MODELS
            waited += 1
        with world.under_way(ORDERS):
            assert world.tick(seconds=5) == set()
        world.ingest("orders")
    assert world.tick(seconds=5) == MODELS


def test_there_is_one_build_at_a_time_and_the_next_takes_what_has_changed_meanwhile(world: World) -> None:
    with world.under_way(dg.AssetKey("fct_sessions"), dg.AssetKey("publication")):
        world.ingest("orders")
        assert world.tick(seconds=60) == set()
        world.ingest("orders", "events")
        assert world.tick(seconds=60) == set()
    assert world.tick() == MODELS | OTHERS
    assert world.tick() == set()

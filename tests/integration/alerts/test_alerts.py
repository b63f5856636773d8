"""Alerts from the cause to the mailbox, on both engines, with a real mail server and a real web server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from resources.errors import TransientError
from resources.notify import Channel, Message, SmtpChannel, WebhookChannel
from resources.warehouse import Warehouse, open_warehouse
from shopsphere_assets.alerts.cause import COLUMN, FIRST_ROW, RULE, SEEN, Cause, Pages
from shopsphere_assets.alerts.checks import FailedCheck, check_cause
from shopsphere_assets.alerts.deliver import Pause, deliver_due
from shopsphere_assets.alerts.findings import broken_models, drift, schema_changes
from shopsphere_assets.alerts.outage import is_back, still_away
from shopsphere_assets.alerts.store import SETTLING, open_alerts, update
from shopsphere_assets.defs.raw.shop_db import SHOP_DB
from shopsphere_assets.transformation.results import NODE_RESULTS
from tests.receivers import mail_server, web_server

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PAGES = Pages("http://ui", "http://steward")
CUSTOMERS = next(table for table in SHOP_DB.tables if table.name == "customers")


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """A prepared warehouse of either engine."""
    url = f"duckdb:///{tmp_path / 'warehouse.duckdb'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    warehouse = open_warehouse(url, lock_timeout=10)
    warehouse.prepare()
    return warehouse


def cause(key: str = "check/raw/shop_db/orders/unique_key", at: datetime = NOW, **details: str) -> Cause:
    return Cause(key, f"{key} is broken", "error", at, details)


def insert(warehouse: Warehouse, table: str, **values: Any) -> None:
    marks = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    with warehouse.transaction() as transaction:
        transaction.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values()))


class Broken:
    """A channel that is out of order; it notes when it was asked."""

    name = "e-mail"

    def __init__(self) -> None:
        self.asked = 0

    def deliver(self, message: Message) -> None:
        self.asked += 1
        raise TransientError("no answer", where="mail server", remedy="wait")


class Killed(Exception):
    """The end of the process."""


def test_one_message_per_cause_however_often_it_is_seen_and_one_when_it_is_mended(warehouse: Warehouse) -> None:
    with mail_server() as mailbox, web_server() as inbox:
        channels: list[Channel] = [
            SmtpChannel(f"smtp://127.0.0.1:{mailbox.port}", sender="a@example.com", recipients=["b@example.com"]),
            WebhookChannel(inbox.url),
        ]
        for minute in range(3):
            now = NOW + minute * MINUTE
            # The same evidence twice is one occurrence.
            for _ in range(2):
                update(warehouse, [cause(at=now)], [], now=now)
                deliver_due(warehouse, channels, now=now)
        [alert] = open_alerts(warehouse)
        assert (alert.opened_at, alert.last_seen_at, alert.occurrences) == (NOW, NOW + 2 * MINUTE, 3)
        assert alert.notified_at == NOW

        mended_at = NOW + 5 * MINUTE
        assert update(warehouse, [], [alert.cause], now=mended_at).resolved == [alert.cause]
        assert open_alerts(warehouse) == []
        for minutes in (9, 10, 60):
            deliver_due(warehouse, channels, now=mended_at + minutes * MINUTE)
    assert [mail["Subject"].partition(": ")[0] for mail in mailbox.mails] == [
        "[ShopSphere] Failure",
        "[ShopSphere] Mended",
    ]
    assert mailbox.mails[1]["In-Reply-To"] == mailbox.mails[0]["Message-ID"]
    assert [body["event"] for body in inbox.bodies] == ["opened", "resolved"]
    assert inbox.bodies[1]["resolved_at"] == mended_at.isoformat()


def test_what_comes_back_at_once_was_not_mended_and_later_is_a_new_alert(warehouse: Warehouse) -> None:
    with web_server() as inbox:
        channels = [WebhookChannel(inbox.url)]
        update(warehouse, [cause()], [], now=NOW)
        deliver_due(warehouse, channels, now=NOW)
        key, back = cause().key, NOW + SETTLING / 2
        update(warehouse, [], [key], now=NOW + MINUTE)
        update(warehouse, [cause(at=back)], [], now=back)
        [alert] = open_alerts(warehouse)
        assert alert.occurrences == 2
        deliver_due(warehouse, channels, now=NOW + 5 * SETTLING)
        assert [body["event"] for body in inbox.bodies] == ["opened"]

        update(warehouse, [], [key], now=NOW + 5 * SETTLING)
        # Evidence that the alert has seen does not open another.
        update(warehouse, [cause(at=back)], [], now=NOW + 7 * SETTLING)
        assert open_alerts(warehouse) == []
        update(warehouse, [cause(at=NOW + 8 * SETTLING)], [], now=NOW + 8 * SETTLING)
        deliver_due(warehouse, channels, now=NOW + 8 * SETTLING)
    # The oldest news first within a kind of message; what opens goes before what is mended.
    assert sorted(body["event"] for body in inbox.bodies) == ["opened", "opened", "resolved"]
    assert open_alerts(warehouse)[0].alert_id != alert.alert_id


def test_a_channel_that_fails_holds_up_nobody_and_is_asked_again_after_growing_pauses(warehouse: Warehouse) -> None:
    update(warehouse, [cause("sensor/a"), cause("sensor/b")], [], now=NOW)
    broken = Broken()
    with web_server() as inbox, mail_server() as mailbox:
        channels: list[Channel] = [broken, WebhookChannel(inbox.url)]
        asked_at: list[int] = []
        pauses: dict[str, Pause] = {}
        for minute in (0, 1, 2, 3, 6, 7, 14, 15):
            before = broken.asked
            done = deliver_due(warehouse, channels, pauses=pauses, now=NOW + minute * MINUTE)
            pauses = done.pauses
            asked_at += [minute] * (broken.asked - before)
        assert asked_at == [0, 1, 3, 7, 15]
        assert [body["cause"] for body in inbox.bodies] == ["sensor/a", "sensor/b"]
        assert all(alert.notified_at is None for alert in open_alerts(warehouse))

        channels[0] = SmtpChannel(f"smtp://127.0.0.1:{mailbox.port}", sender="a@b.de", recipients=["c@d.de"])
        deliver_due(warehouse, channels, pauses=pauses, now=NOW + timedelta(hours=2))
        assert len(mailbox.mails) == 2
        assert len(inbox.bodies) == 2
    assert all(alert.notified_at == NOW + timedelta(hours=2) for alert in open_alerts(warehouse))


def test_a_process_killed_after_the_delivery_delivers_again_under_the_same_id(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    update(warehouse, [cause()], [], now=NOW)
    with web_server() as inbox:
        with monkeypatch.context() as patch:

            def killed(*_: object, **__: object) -> None:
                raise Killed

            patch.setattr("shopsphere_assets.alerts.deliver.mark_told", killed)
            with pytest.raises(Killed):
                deliver_due(warehouse, [WebhookChannel(inbox.url)], now=NOW)
        assert open_alerts(warehouse)[0].notified_at is None
        for _ in range(2):
            deliver_due(warehouse, [WebhookChannel(inbox.url)], now=NOW)
    assert len(inbox.keys) == 2
    assert len(set(inbox.keys)) == 1


def test_without_a_channel_alerts_are_kept_and_logged_once(
    warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    update(warehouse, [cause()], [], now=NOW)
    for _ in range(2):
        deliver_due(warehouse, [], now=NOW)
    assert len([r for r in caplog.records if "is broken" in r.getMessage()]) == 1
    with web_server() as inbox:
        deliver_due(warehouse, [WebhookChannel(inbox.url)], now=NOW)
        assert len(inbox.bodies) == 1


def test_a_failed_check_names_the_first_row_and_the_rule_and_no_personal_value(warehouse: Warehouse) -> None:
    insert(warehouse, "ledger.batches", batch_id="b1", source="shop_db", table_name="customers", rows_quarantined=3,
           sequence=1, finished_at=NOW)  # fmt: skip
    reasons = (
        '[{"rule":"email.email_format","column":"email","value":"ann.smith(at)example.com"}]',
        '[{"rule":"country_code.allowed_values","column":"country_code","value":"<b>ZZ</b>"},'
        '{"rule":"email.email_format","column":"email","value":null}]',
        '[{"rule":"country_code.allowed_values","column":"country_code","value":"QQ"}]',
    )
    for number, text in enumerate(reasons):
        insert(warehouse, "quarantine.rows", quarantine_id=f"q{number}", batch_id="b1", source="shop_db",
               table_name="customers", row_key=str(7 + number), reasons=text, payload="{}",
               quarantined_at=NOW)  # fmt: skip
    failed = FailedCheck(("raw", "shop_db", "customers"), "quarantine_share", "r1", NOW, metadata={"share": "0.6"})
    details = check_cause(warehouse, failed, CUSTOMERS, PAGES).details
    assert details[FIRST_ROW] == "customer_id 7"
    assert details[COLUMN] == "email = xxx.xxxxx(xx)xxxxxxx.xxx"
    assert details[RULE] == "email.email_format"
    assert "smith" not in str(details)

    with web_server() as inbox, mail_server() as mailbox:
        update(warehouse, [Cause("check/x", "<script>alert(1)</script>", "error", NOW, details)], [], now=NOW)
        smtp = SmtpChannel(f"smtp://127.0.0.1:{mailbox.port}", sender="a@b.de", recipients=["c@d.de"])
        deliver_due(warehouse, [smtp, WebhookChannel(inbox.url)], now=NOW)
    html = mailbox.mails[0].get_body(("html",))
    assert html is not None
    page = html.get_content()
    assert "<script>" not in page
    assert '<a href="http://steward/?table=shop_db/customers">' in page
    assert inbox.bodies[0]["details"][RULE] == "email.email_format"


def test_an_alarm_of_drift_lasts_until_the_table_was_read_and_a_day_brought_none(warehouse: Warehouse) -> None:
    hour = timedelta(hours=1)

    def alarm(kind: str, at: datetime) -> None:
        insert(warehouse, "quality.alarms", alarm_id=f"{kind}{at}", batch_id="b1", source="shop_db", kind=kind,
               table_name="customers", column_name="email" if kind == "nulls" else None, observed=0.4,
               expected_low=0.0, expected_high=0.02, raised_at=at, note="such as ann@example.com")  # fmt: skip

    def look(at: datetime) -> Sequence[str]:
        found = drift(warehouse, open_alerts(warehouse), [CUSTOMERS], PAGES, now=at)
        update(warehouse, found.present, found.gone, now=at)
        return [alert.cause.rpartition("/")[2] for alert in open_alerts(warehouse)]

    def read(at: datetime) -> None:
        insert(warehouse, "quality.profiles", batch_id=str(at), source="shop_db", table_name="customers",
               column_name="email", profiled_at=at)  # fmt: skip

    alarm("nulls", NOW)
    assert look(NOW) == ["nulls"]
    [alert] = open_alerts(warehouse)
    assert alert.title == "shop_db/customers.email: nulls is 0.4, history makes 0 to 0.02 likely"
    assert SEEN not in alert.details
    alarm("nulls", NOW + 20 * hour)
    read(NOW + 21 * hour)
    assert look(NOW + 22 * hour) == ["nulls"]
    assert open_alerts(warehouse)[0].occurrences == 2
    assert look(NOW + 47 * hour) == []

    alarm("freshness", NOW + 60 * hour)
    for hours in (60, 120):
        assert look(NOW + hours * hour) == ["freshness"]
    read(NOW + 121 * hour)
    assert look(NOW + 121 * hour) == []


def test_changed_columns_are_told_once_and_stay_open_where_they_stop_the_table(warehouse: Warehouse) -> None:
    for version, outcome in ((1, "first"), (2, "ignored"), (3, "stopped")):
        insert(warehouse, "quality.schema_versions", source="shop_db", table_name="orders", version=version,
               seen_at=NOW + version * MINUTE, columns="{}", outcome=outcome,
               changes='[{"change":"added","column":"gift_note"}]')  # fmt: skip

    def look(at: datetime) -> list[str]:
        found = schema_changes(warehouse, open_alerts(warehouse), PAGES, now=at)
        update(warehouse, found.present, found.gone, now=at)
        return [alert.severity for alert in open_alerts(warehouse)]

    with web_server() as inbox:
        assert look(NOW + 4 * MINUTE) == ["warning", "error"]
        assert open_alerts(warehouse)[0].details[SEEN] == "column gift_note was added"
        deliver_due(warehouse, [WebhookChannel(inbox.url)], now=NOW + 4 * MINUTE)
        assert look(NOW + timedelta(days=2)) == ["error"]
        insert(warehouse, "ledger.batches", batch_id="b", source="shop_db", table_name="orders", sequence=1,
               finished_at=NOW + timedelta(days=2))  # fmt: skip
        assert look(NOW + timedelta(days=2)) == []
        deliver_due(warehouse, [WebhookChannel(inbox.url)], now=NOW + timedelta(days=3))
    # That a column was added is no damage, so nobody is told that it was mended.
    assert [body["event"] for body in inbox.bodies] == ["opened", "opened"]


def test_a_broken_test_of_dbt_is_a_cause_until_its_result_is_good(warehouse: Warehouse) -> None:
    warehouse.ensure_tables([NODE_RESULTS])
    node = "test.shopsphere.assert_settlement_adds_up"
    insert(warehouse, str(NODE_RESULTS), node_id=node, status="fail", message="Got 3 results, configured to fail if 1",
           run_id="r1", finished_at=NOW, seconds=0.1)  # fmt: skip
    found, explained = broken_models(warehouse, [], {node}, PAGES)
    assert [c.title for c in found.present] == [
        "The test assert_settlement_adds_up failed: Got 3 results, configured to fail if 1"
    ]
    assert explained == {"r1"}
    update(warehouse, found.present, found.gone, now=NOW)
    with warehouse.transaction() as transaction:
        transaction.execute(f"UPDATE {NODE_RESULTS} SET status = 'pass'")
    found, explained = broken_models(warehouse, open_alerts(warehouse), {node}, PAGES)
    assert (found.present, found.gone, explained) == ([], {f"model/{node}"}, set())


def test_a_warehouse_that_is_away_longer_than_the_bound_is_told_without_it() -> None:
    error, bound = TransientError("the server does not answer", where="warehouse", remedy="start it"), 30 * MINUTE
    with web_server() as inbox:
        channels = [WebhookChannel(inbox.url)]
        outage = None
        for minute in (0, 29, 30, 31):
            outage = still_away(outage, error, channels, bound=bound, now=NOW + minute * MINUTE)
            assert len(inbox.bodies) == (minute >= 30)
        assert outage is not None
        is_back(outage, channels, now=NOW + timedelta(hours=1))
    assert [body["event"] for body in inbox.bodies] == ["opened", "resolved"]

"""What Prometheus is told: the numbers are right, nobody's data are in them, and not everybody may read them."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cm_graphql import app as wiring
from cm_graphql.operations.ports import new_id
from cm_graphql.settings import Settings
from cm_graphql.store import tables as t
from cm_graphql.store.database import Database
from in_process import a_key, served

SYNC = """mutation($number: String!) {
  syncAccounts(input: {accounts: [{number: $number, name: "Confidential", currency: "USD"}]}) {
    results { userErrors { code } } }
}"""
POST = 'mutation { postCreditMemo(input: {key: "CM99999999"}) { userErrors { code } } }'


async def numbers(client: httpx.AsyncClient, **headers: str) -> dict[str, float]:
    """Each sample by its name and labels, that of the process left out."""
    answer = await client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-store"
    assert "Confidential" not in answer.text
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = [value for name, value in sorted(sample.labels.items()) if name != "process"]
            found[" ".join([sample.name.removeprefix("cm_graphql_"), *labels])] = sample.value
    return found


async def ask(client: httpx.AsyncClient, query: str, **headers: str) -> Any:
    body = {"query": query, "variables": {"number": "A-Confidential"} if query == SYNC else {}}
    return await client.post("/graphql", json=body, headers=headers)


async def test_there_are_no_metrics_unless_they_are_asked_for(database_url: str, tmp_path: Path) -> None:
    async with served(database_url, tmp_path) as client:
        assert (await client.get("/metrics")).status_code == 404


async def test_metrics_tell_what_was_done_and_how_busy_the_server_is(database_url: str, tmp_path: Path) -> None:
    async with served(database_url, tmp_path, metrics=True) as client:
        await ask(client, SYNC)
        await ask(client, POST)
        await ask(client, "{ creditMemos { totalCount } }")
        await client.get("/nothing/Confidential")
        await client.post("/graphql", content=b"Confidential", headers={"content-type": "application/json"})

        found = await numbers(client)

        assert found["requests_total graphql 200"] == 3
        assert found["requests_total graphql 400"] == 1
        assert found["requests_total other 404"] == 1
        assert found["request_seconds_count graphql"] == found["request_seconds_bucket graphql +Inf"] == 4
        assert 0 < found["request_seconds_sum graphql"] < 60
        assert found["queries_total planned"] == 1
        assert found["actions_total intake.sync_accounts DONE"] == 1
        assert found["actions_total lifecycle.post CREDIT_MEMO_NOT_FOUND"] == 1
        assert found["database_up"] == 1
        sqlite = database_url.startswith("sqlite")
        pools = {"reads", "writes", "plans"} if sqlite else {"reads_and_writes", "at_once", "plans"}
        assert {name.split()[1] for name in found if name.startswith("pool_size")} == pools
        assert all(found[f"pool_busy {pool}"] <= found[f"pool_size {pool}"] for pool in pools)
        assert (await numbers(client))["requests_total other 200"] == 1, "the first look was a request itself"


async def a_pending_job(database_url: str) -> None:
    """A job that was asked for an hour ago and may begin tomorrow."""
    now = datetime.now(UTC)
    values = {"id": new_id("cmj"), "operation_type": "EMAIL_CREDIT_MEMO", "reference_id": new_id("cm")}
    times = {"created_date": now - timedelta(hours=1), "updated_date": now, "run_after": now + timedelta(days=1)}
    database = Database.open(database_url)
    async with database.write() as connection:
        await connection.execute(t.credit_memo_jobs.insert().values(**values, **times, created_by_id="usr"))
    await database.dispose()


async def test_metrics_tell_of_jobs_that_wait(database_url: str, tmp_path: Path) -> None:
    async with served(database_url, tmp_path, metrics=True) as client:
        await ask(client, SYNC)
        assert "jobs PENDING" not in await numbers(client)
        await a_pending_job(database_url)

        found = await numbers(client)

        assert found["jobs PENDING"] == 1
        assert 3_600 <= found["oldest_job_seconds PENDING"] < 7_200


async def test_metrics_count_who_was_turned_away(database_url: str, tmp_path: Path) -> None:
    async with served(database_url, tmp_path, metrics=True, auth="keys", rate_limit="2/minute") as client:
        busy_id, busy = await a_key(database_url, "credit_memos:read")
        _, watching = await a_key(database_url, "settings:read")
        answers = [await ask(client, "{ __typename }", **busy) for _ in range(3)]

        found = await numbers(client, **watching)

        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert found["rate_limited_total rate_limit"] == 1
        assert found["requests_total graphql 429"] == 1
        assert busy_id not in str(found)


async def test_metrics_are_for_those_who_may_see_the_whole_tenant(database_url: str, tmp_path: Path) -> None:
    async with served(database_url, tmp_path, metrics=True) as client:
        await ask(client, SYNC)
    async with served(database_url, tmp_path, metrics=True, auth="keys") as client:
        _, whole = await a_key(database_url, "settings:read")
        _, lacking = await a_key(database_url, "credit_memos:read", "documents:read")
        _, limited = await a_key(database_url, "settings:read", accounts=["A-Confidential"])

        for headers, status, code in (
            ({}, 401, "UNAUTHENTICATED"),
            (lacking, 403, "FORBIDDEN"),
            (limited, 403, "FORBIDDEN"),
        ):
            answer = await client.get("/metrics", headers=headers)
            assert answer.status_code == status
            assert [error["extensions"]["code"] for error in answer.json()["errors"]] == [code]
            assert answer.headers["cache-control"] == "no-store"
        assert (await client.get("/metrics", headers=whole)).status_code == 200
        assert (await client.post("/metrics", headers=whole)).status_code == 405


def test_without_the_extra_the_server_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load({"metrics": True})
    wiring._check(settings, wiring._addresses(settings))

    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    with pytest.raises(wiring.StartupError, match=r"CM_GRAPHQL_METRICS needs the extra `prometheus`"):
        wiring._check(settings, wiring._addresses(settings))

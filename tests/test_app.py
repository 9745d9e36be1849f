"""The wiring: what the settings make of the world outside, and what a server does by itself."""

import asyncio
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from cm_graphql.app import StartupError, tax_engines
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.refunds import RefundCreditMemo
from cm_graphql.domain.enums import RefundStatus, RefundType
from cm_graphql.domain.refunds import GatewayAnswer
from cm_graphql.operations import refunds
from cm_graphql.operations.ports import GatewayRefund, GatewayUnreachable
from cm_graphql.settings import Settings
from cm_graphql.store import tables as t
from operating import a_desk, money
from servers import running


def settings(**given: Any) -> Settings:
    """Settings of a server."""
    return Settings(**given)


def test_the_program_loads_no_orm_and_whoever_asks_for_sessions_still_gets_them() -> None:
    program = """
import sys
import cm_graphql.app
assert not {"sqlalchemy.orm", "sqlalchemy.ext.asyncio.session", "rich", "limits"} & sys.modules.keys()
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session
assert AsyncSession.__module__ == "sqlalchemy.ext.asyncio.session"
assert async_scoped_session.__module__ == "sqlalchemy.ext.asyncio.scoping"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_avalara_is_there_when_its_account_is_known() -> None:
    assert tax_engines(settings()) == {}
    known = settings(avalara_account_id="1100", avalara_license_key=SecretStr("secret"))
    assert list(tax_engines(known)) == ["avalara"]
    with pytest.raises(StartupError, match="CM_GRAPHQL_AVALARA_LICENSE_KEY"):
        tax_engines(settings(avalara_account_id="1100"))


class Unreachable:
    """A gateway that does not answer."""

    async def refund(self, asked: GatewayRefund) -> GatewayAnswer:
        raise GatewayUnreachable("timeout")


async def test_a_server_finishes_refunds_that_another_left_at_the_gateway(database_url: str, tmp_path: Path) -> None:
    async with a_desk(database_url, gateway=Unreachable()) as desk:
        memo = await desk.posted("30.00")
        await desk.ask(
            refunds.refund,
            RefundCreditMemo(
                key=Key(memo),
                type=RefundType.ELECTRONIC,
                total_amount=Decimal("12.00"),
                payment_method_id=Key(await desk.payment_method()),
            ),
        )
        async with desk.database.write() as connection:
            long_ago = desk.gate.clock.now() - timedelta(hours=1)
            await connection.execute(t.refunds.update().values(marked_for_submission_on=long_ago))

        with running(database_url, tmp_path):
            for _ in range(200):
                if (await desk.row(t.refunds)).status != RefundStatus.PROCESSING:
                    break
                await asyncio.sleep(0.1)

        assert (await desk.row(t.refunds)).status == RefundStatus.PROCESSED
        assert money(await desk.memo(memo)) == ("30.00", "0.00", "18.00", "12.00")

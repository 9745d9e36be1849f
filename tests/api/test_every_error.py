"""Every symbol of domain.md section 5 can be met by a client, and none is met that is not expected."""

from collections.abc import Iterator

import pytest

from cm_graphql.domain.errors import ErrorCode
from cm_graphql.operations.viewer import LOCAL
from provocations import PROVOKED, WITHOUT_OPERATION
from shopping import Shop


@pytest.fixture(scope="module")
def module_shop(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop for all tests of this module."""
    opened = Shop(module_database_url, tmp_path_factory.mktemp("files"))
    yield opened
    opened.close()


@pytest.fixture
def shop(module_shop: Shop) -> Iterator[Shop]:
    """The shop with an account of the test's own, and the settings that everybody starts with."""
    module_shop.new_account()
    yield module_shop
    module_shop.viewer = LOCAL
    usual = {"unpostRule": False, "taxEngine": "none", "emailNotification": True}
    module_shop.do("updateSettings", {**usual, "availableToCreditRule": "HEADER_ONLY"})


@pytest.mark.parametrize("code", sorted(set(ErrorCode) - WITHOUT_OPERATION.keys()))
def test_every_symbol_has_a_request_that_provokes_it(shop: Shop, code: ErrorCode) -> None:
    assert code in PROVOKED, "no request is known that provokes it"

    refused = PROVOKED[code](shop)

    assert {found[0] for found in refused} == {code}


def test_symbols_without_operation_are_no_others() -> None:
    assert not PROVOKED.keys() & WITHOUT_OPERATION.keys()

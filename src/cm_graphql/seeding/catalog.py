"""Who buys what: made-up accounts in six currencies, the charges they are billed, and the taxes upon them."""

from decimal import Decimal
from typing import Final, NamedTuple

from cm_graphql.domain.enums import ChargeModel, ChargeType, ItemSourceType, PaymentMethodType, TaxEngineKind, TaxMode
from cm_graphql.seeding.rows import SUFFIX, Row, Rows, Spelling, stem
from cm_graphql.store.types import to_json

ACCOUNTS: Final = 500


class Tax(NamedTuple):
    """A tax of one region."""

    name: str
    jurisdiction: str
    location_code: str
    tax_code: str
    millionths: int
    """The rate: 190,000 is 19 %."""

    @property
    def tail(self) -> Row:
        """The columns that its taxation items end with."""
        percent = f"{Decimal(self.millionths).scaleb(-4).normalize():f} %"
        return (
            *(self.name, self.jurisdiction, self.location_code, self.tax_code),
            *(self.millionths * 1000, percent, "2310"),
        )


class Region(NamedTuple):
    """Where accounts are, what they pay in, and what is taxed there."""

    currency: str
    unit: int
    """The currency's smallest amount, in ten-thousandths."""
    price_level: int
    """Thousandths of the price in USD."""
    country: str
    cities: tuple[tuple[str, str | None, str], ...]
    """Name, state and postal code."""
    legal_form: str
    taxes: tuple[Tax, ...]


_DE = Region(
    *("EUR", 100, 920, "Germany"),
    (("Berlin", None, "10117"), ("Hamburg", None, "20095"), ("München", None, "80331")),
    "GmbH",
    (Tax("VAT", "Germany", "DE", "DE-STANDARD", 190_000),),
)
_GB = Region(
    *("GBP", 100, 790, "United Kingdom"),
    (("London", None, "EC2A 4NE"), ("Leeds", None, "LS1 4AP")),
    "Ltd",
    (Tax("VAT", "United Kingdom", "GB", "GB-STANDARD", 200_000),),
)
_KW = Region(
    *("KWD", 10, 305, "Kuwait"),
    (("Kuwait City", None, "13001"), ("Salmiya", None, "22001")),
    "WLL",
    (Tax("Municipality fee", "Kuwait City", "KW", "KW-MUNICIPAL", 50_000),),
)
_US = Region(
    *("USD", 100, 1000, "United States"),
    (("Chicago", "Illinois", "60601"), ("Evanston", "Illinois", "60201")),
    "Inc.",
    (
        Tax("State sales tax", "Illinois", "US-IL", "US-SAAS", 62_500),
        Tax("County sales tax", "Cook County", "US-IL-031", "US-SAAS", 17_500),
    ),
)
_CA = Region(
    *("CAD", 100, 1360, "Canada"),
    (("Vancouver", "British Columbia", "V6B 1A1"), ("Victoria", "British Columbia", "V8W 1P6")),
    "Corp.",
    (
        Tax("GST", "Canada", "CA", "CA-GST", 50_000),
        Tax("PST", "British Columbia", "CA-BC", "CA-PST", 70_000),
    ),
)
_JP = Region(
    *("JPY", 10_000, 150_000, "Japan"),
    (("東京", None, "100-0001"), ("大阪", None, "530-0001")),
    "KK",
    (
        Tax("National consumption tax", "Japan", "JP", "JP-STANDARD", 78_000),
        Tax("Local consumption tax", "Tokyo", "JP-13", "JP-STANDARD", 22_000),
    ),
)
_TWENTY: Final = (
    *(_DE, _US, _JP, _DE, _US, _GB, _DE, _CA, _KW, _US),
    *(_DE, _JP, _US, _GB, _DE, _CA, _KW, _DE, _US, _JP),
)
"""The regions of twenty accounts, half with one tax and half with two, so that an item has 1.5 on average."""

_REGIONS: Final = (_DE, _GB, _KW, _US, _CA, _JP)


class Product(NamedTuple):
    """A charge that is billed."""

    id: str
    name: str
    price: int
    """In USD, ten-thousandths."""
    quantity: int
    """The largest that is bought at once."""
    invoice_tail: Row
    """The columns that its lines end with on an invoice; likewise on the memos."""
    debit_tail: Row
    credit_tail: Row


class Account(NamedTuple):
    """A customer."""

    id: str
    contact_id: str
    methods: tuple[str, str]
    """An electronic payment method and another one."""
    region: Region
    prices: list[int]
    """Of each product, in the account's currency."""
    term_days: int
    inclusive: bool
    """Whether its prices include tax."""
    exempt: bool
    """Whether half of its tax is waived."""


_PRODUCTS: Final = (
    *("Analytics", "Archive", "Backup", "Campaigns", "Contracts", "Documents"),
    *("Forecast", "Inventory", "Messaging", "Payroll", "Storefront", "Support"),
)
_CHARGES: Final[tuple[tuple[str, ChargeModel, ChargeType, str | None, int, int], ...]] = (
    ("base fee", ChargeModel.FLAT_FEE, ChargeType.RECURRING, None, 490_000, 1),
    ("seats", ChargeModel.PER_UNIT, ChargeType.RECURRING, "Seat", 125_000, 40),
    ("set-up", ChargeModel.FLAT_FEE, ChargeType.ONE_TIME, None, 2_500_000, 1),
    ("requests", ChargeModel.PER_UNIT, ChargeType.USAGE, "1,000 requests", 3_700, 900),
)
_FIRST: Final = (
    *("Alder", "Amber", "Arctic", "Birch", "Blue", "Cedar", "Clear", "Copper", "Coral", "Crescent", "Delta", "Ember"),
    *("Falcon", "Golden", "Granite", "Harbour", "Juniper", "Lake", "Maple", "Meadow", "North", "Orchid", "River"),
    *("Silver", "Summit"),
)
_SECOND: Final = (
    *("Analytics", "Brewing", "Builders", "Clinics", "Dairy", "Electric", "Foods", "Freight", "Gardens", "Hotels"),
    *("Instruments", "Kitchens", "Logistics", "Media", "Optics", "Paper", "Robotics", "Systems", "Textiles", "Travel"),
)
_PEOPLE: Final = ("Aiko Mori", "Ben Okafor", "Chloé Martin", "Dana Haddad", "Emil Krüger", "Fatima Noor", "Grace Lee")


class Catalog:
    """The accounts and charges of one seed, whose rows it writes."""

    def __init__(self, seed: int, rows: Rows, spelling: Spelling) -> None:
        self._seed = seed
        self._rows = rows.of
        self._first_day = spelling.days[0]
        self._audit = ("usr_setup", spelling.moment(0)) * 2
        self.products = [self._product(serial) for serial in range(len(_PRODUCTS) * len(_CHARGES))]
        self.accounts = [self._account(serial) for serial in range(ACCOUNTS)]

    def _id(self, prefix: str, serial: int, line: int = 0) -> str:
        return f"{prefix}_{stem(0, self._seed, serial)}{SUFFIX[line]}"

    def _product(self, serial: int) -> Product:
        product = _PRODUCTS[serial // len(_CHARGES)]
        kind, model, type_, measure, price, quantity = _CHARGES[serial % len(_CHARGES)]
        charge_id, name, sku = self._id("chg", serial), f"{product} {kind}", f"{product[:3].upper()}-{serial + 1:03d}"
        price += price * (serial % 7) // 10 // 10_000 * 10_000
        common = (sku, measure, "2400", "4000", "Daily")
        self._rows["product_rate_plan_charges"].append(
            (
                *(charge_id, name, model.value, type_.value, True, TaxMode.TAX_EXCLUSIVE.value, "STANDARD"),
                *(self._first_day, *common, *self._audit),
            )
        )
        self._rows["product_rate_plan_charge_prices"].extend(
            (charge_id, region.currency, _price(price, region) * 10**5) for region in _REGIONS
        )
        component = ItemSourceType.SUBSCRIPTION_COMPONENT.value
        return Product(
            *(charge_id, name, price, quantity),
            invoice_tail=(charge_id, name, product, "STANDARD", component, *common),
            debit_tail=(charge_id, name, *common),
            credit_tail=(name, *common),
        )

    def _account(self, serial: int) -> Account:
        region = _TWENTY[serial % len(_TWENTY)]
        name = f"{_FIRST[serial % 25]} {_SECOND[serial // 25 % 20]} {region.legal_form}"
        first, _, last = _PEOPLE[serial % len(_PEOPLE)].partition(" ")
        city, state, postal_code = region.cities[serial % len(region.cities)]
        contact_id, account_id = self._id("con", serial), self._id("acc", serial)
        domain = name.lower().replace(" ", "-").rstrip(".") + ".example"
        self._rows["contacts"].append(
            (
                *(contact_id, first, last, f"billing@{domain}", f"{serial % 90 + 1} Market Street", city, state),
                *(postal_code, region.country, *self._audit),
            )
        )
        emails = [f"{role}@{domain}" for role in ("accounting", "office")[: serial % 3]]
        term_days = (30, 14, 30, 45, 60)[serial % 5]
        self._rows["accounts"].append(
            (
                *(account_id, f"A-{self._seed}-{serial + 1:04d}", name, region.currency, contact_id, to_json(emails)),
                *(term_days, "test", to_json({"Segment__c": ("SMB", "Enterprise")[serial % 2]}), *self._audit),
            )
        )
        methods = (self._id("pm", serial, 1), self._id("pm", serial, 2))
        electronic, other = PaymentMethodType.CREDIT_CARD.value, PaymentMethodType.BANK_TRANSFER.value
        self._rows["payment_methods"].append((methods[0], account_id, electronic, True, *self._audit))
        self._rows["payment_methods"].append((methods[1], account_id, other, False, *self._audit))
        return Account(
            *(account_id, contact_id, methods, region, [_price(product.price, region) for product in self.products]),
            *(term_days, len(region.taxes) == 1 and serial % 4 == 1, serial % 20 == 4),
        )


def _price(price: int, region: Region) -> int:
    return price * region.price_level // 1000 // region.unit * region.unit


TAX_ENGINE: Final = TaxEngineKind.ZUORA_TAX.value
"""What computed the invoices' taxes, so that credits of them can be computed too (domain.md 4.1)."""

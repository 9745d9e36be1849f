"""The schema is the one in schema.graphql, explains every word of itself, and has every field of the reference."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    get_named_type,
    is_introspection_type,
    is_specified_scalar_type,
    parse,
    validate,
    validate_schema,
)

from cm_graphql.api.schema import schema
from cm_graphql.domain import enums
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.fields.declare import PREFIXES

CORE = schema._schema
PRINTED = Path(__file__).parent.parent / "schema.graphql"

TYPES = [
    type_
    for type_ in CORE.type_map.values()
    if not is_introspection_type(type_) and not is_specified_scalar_type(type_)
]


def fields_of(name: str) -> dict[str, GraphQLField]:
    """The fields of an object type."""
    type_ = CORE.type_map[name]
    assert isinstance(type_, GraphQLObjectType)
    return dict(type_.fields)


def words() -> Iterator[tuple[str, str | None]]:
    """Everything that has a name, with its description."""
    for type_ in TYPES:
        yield type_.name, type_.description
        match type_:
            case GraphQLObjectType() | GraphQLInterfaceType():
                for name, field in type_.fields.items():
                    yield f"{type_.name}.{name}", field.description
                    for key, argument in field.args.items():
                        yield f"{type_.name}.{name}({key})", argument.description
            case GraphQLInputObjectType():
                for name, given in type_.fields.items():
                    yield f"{type_.name}.{name}", given.description
            case GraphQLEnumType():
                for name, value in type_.values.items():
                    yield f"{type_.name}.{name}", value.description


def test_schema_graphql_is_the_schema_we_serve() -> None:
    assert PRINTED.read_text(encoding="utf-8") == schema.as_str().rstrip("\n") + "\n", "run: make schema"


def test_the_schema_is_valid() -> None:
    assert validate_schema(CORE) == []


@pytest.mark.parametrize("memo", ["{}", "{fromInvoice: null}", "{fromInvoice: {invoiceKey: 1}, fromCharges: null}"])
def test_a_document_that_gives_a_one_of_none_or_two_is_not_valid(memo: str) -> None:
    document = parse(f"mutation {{ createCreditMemos(input: {{memos: [{memo}]}}) {{ userErrors {{ code }} }} }}")

    (error,) = validate(CORE, document)

    assert "exactly one field" in error.message


def test_every_word_of_the_schema_is_explained() -> None:
    missing = [name for name, description in words() if not description or not description.strip()]
    unfinished = [name for name, text in words() if text and text.rstrip()[-1] not in ".!?"]

    assert missing == []
    assert unfinished == []


def test_every_scalar_of_ours_is_specified() -> None:
    for type_ in TYPES:
        if isinstance(type_, GraphQLScalarType) and type_.name != "Upload":
            assert type_.specified_by_url


def test_every_type_with_an_id_is_a_node() -> None:
    interface = CORE.type_map["Node"]
    assert isinstance(interface, GraphQLInterfaceType)
    nodes = {type_.name for type_ in CORE.get_possible_types(interface)}

    assert nodes == {kind.name for kind in PREFIXES.values()}
    assert " ".join(sorted(PREFIXES)) == (
        "acc chg cip cm cme cmf cmi cmj cmp cmt con dm dmi dmt ini int inv per pm rc ref rfp rip"
    )


def test_beside_each_id_stands_the_thing_itself() -> None:
    # Things of other systems, and texts; a job's `referenceId` has its thing under another name.
    elsewhere = {
        "billToContactSnapshotId",
        "commitmentId",
        "commitmentPeriodId",
        "communicationProfileId",
        "createdById",
        "updatedById",
        "postedById",
        "cancelledById",
        "byId",
        "einvoiceFileId",
        "gatewayId",
        "integrationId",
        "invoiceScheduleId",
        "invoiceScheduleItemId",
        "paymentId",
        "paymentMethodSnapshotId",
        "referenceId",
        "requestId",
        "secondRefundReferenceId",
        "sequenceSetId",
        "soldToContactSnapshotId",
        "sourceId",
        "subscriptionId",
    }
    for kind in PREFIXES.values():
        fields = set(fields_of(kind.name))
        for name in fields - elsewhere - ({"latestPdfFileId"} if kind.name == "DebitMemo" else set()):
            if name.endswith("Id"):
                assert name.removesuffix("Id") in fields, f"{kind.name}.{name}"


def test_enums_have_the_names_of_the_contract() -> None:
    def values(name: str) -> list[str]:
        type_ = CORE.type_map[name]
        assert isinstance(type_, GraphQLEnumType)
        return list(type_.values)

    assert values("ErrorCode") == list(ErrorCode)
    assert values("ApplicationRule") == ["FIFO", "PRORATION", "SOURCE_ITEM", "EXPLICIT"]
    assert values("CreditMemoEventAction") == list(enums.EventAction)
    assert values("MemoStatus") == list(enums.MemoStatus)
    assert values("YesNo") == ["YES", "NO"]
    for type_ in TYPES:
        if isinstance(type_, GraphQLEnumType):
            assert all(value.isupper() for value in type_.values)


AUDIT = "createdById createdDate updatedById updatedDate"
LINE_FINANCE = (
    "deferredRevenueAccountingCode deferredRevenueAccountingCodeType recognizedRevenueAccountingCode "
    "recognizedRevenueAccountingCodeType onAccountAccountingCode onAccountAccountingCodeType "
    "nonRevenueWriteOffAccountingCode nonRevenueWriteOffAccountingCodeType revenueRecognitionRuleName "
    "revenueScheduleNumber"
)
MEMO = (
    "transferredToAccounting taxStatus taxMessage latestPdfFileId postedById postedOn cancelledById cancelledOn "
    "billToContactId billToContact billToContactSnapshotId invoiceGroupNumber sequenceSetId communicationProfileId "
    "einvoiceStatus einvoiceFileId einvoiceErrorCode einvoiceErrorMessage organizationLabel netSuite customFields "
    + AUDIT
)
TAX = (
    "id name taxAmount exemptAmount jurisdiction locationCode taxCode taxCodeDescription taxDate taxRate "
    "taxRateDescription taxRateType customFields financeInformation " + AUDIT
)
LINE = (
    "id sku quantity unitPrice unitOfMeasure serviceStartDate serviceEndDate subscriptionId taxMode processingType "
    "appliedToItemId appliedToItem sourceItemType financeInformation customFields taxationItems " + AUDIT
)
NULLABLE = {
    "CreditMemo": (
        "number targetDate comment reasonCode sourceId referredInvoiceId taxStatus taxMessage latestPdfFileId "
        "postedById postedOn cancelledById cancelledOn"
    ),
    "CreditMemoItem": "appliedToItemId sku description quantity unitPrice unitOfMeasure serviceStartDate",
    "CreditMemoPart": "invoiceId debitMemoId",
    "Refund": "creditMemoId paymentId comment paymentMethodId gatewayId referenceId submittedOn",
    "CreditMemoJob": "error startedDate finishedDate creditMemo",
    "CreditMemoPdfStatus": "createdOn updatedOn pdfFileUrl errorCategory errorMessage",
}
"""Fields that can be null; others are checked to be never null, where the reference says so."""

FIELDS = {
    "CreditMemo": (
        "id number version accountId accountNumber currency status creditMemoDate targetDate amount taxAmount "
        "totalTaxExemptAmount appliedAmount unappliedAmount refundAmount comment reasonCode source sourceType sourceId "
        "referredInvoiceId referredInvoice autoApplyUponPosting excludeFromAutoApplyRules reversed revenueImpacting "
        "excludeItemBillingFromRevenueAccounting items parts files refunds history pdfStatus account " + MEMO
    ),
    "CreditMemoItem": (
        "amount amountWithoutTax appliedAmount unappliedAmount refundAmount skuName description sourceItemId "
        "sourceItem creditFromItemSource creditFromItemId creditFromItem excludeItemBillingFromRevenueAccounting "
        "revenueImpacting reflectDiscountInNetAmount soldToContactId soldToContact soldToContactSnapshotId "
        "shipToContactId shipToContact "
        "invoiceScheduleId invoiceScheduleItemId numberOfDeliveries commitmentId commitmentPeriodId organizationLabel "
        "creditMemo " + LINE
    ),
    "CreditMemoTaxationItem": (
        "memoItemId memoItem appliedAmount unappliedAmount refundAmount sourceTaxItemId sourceTaxItem " + TAX
    ),
    "CreditMemoPart": (
        "id amount invoiceId invoice debitMemoId debitMemo organizationLabel itemParts creditMemo " + AUDIT
    ),
    "CreditMemoItemPart": (
        "id partId part amount creditMemoItemId creditMemoItem creditTaxItemId creditTaxItem invoiceItemId invoiceItem "
        "debitMemoItemId debitMemoItem taxItemId taxItem " + AUDIT
    ),
    "Refund": (
        "id number accountId account creditMemoId creditMemo paymentId amount type methodType status refundDate "
        "reasonCode comment paymentMethodId paymentMethod paymentMethodSnapshotId gatewayId gatewayResponse "
        "gatewayResponseCode gatewayState referenceId secondRefundReferenceId softDescriptor softDescriptorPhone "
        "markedForSubmissionOn submittedOn settledOn refundTransactionTime cancelledOn financeInformation "
        "organizationLabel netSuite customFields parts itemParts " + AUDIT
    ),
    "RefundPart": "id amount creditMemoId creditMemo paymentId " + AUDIT,
    "RefundItemPart": "id amount creditMemoItemId creditMemoItem creditTaxItemId creditTaxItem " + AUDIT,
    "DebitMemo": (
        "id number accountId account accountNumber currency status debitMemoDate dueDate targetDate amount taxAmount "
        "totalTaxExemptAmount balance beAppliedAmount autoPay comment reasonCode referredCreditMemoId "
        "referredCreditMemo referredInvoiceId referredInvoice sourceType paymentTerm items creditMemoParts " + MEMO
    ),
    "DebitMemoItem": (
        "amount amountWithoutTax balance beAppliedAmount skuName description sourceItemId sourceItem debitMemo " + LINE
    ),
    "DebitMemoTaxationItem": "memoItemId balance paymentAmount creditAmount sourceTaxItemId sourceTaxItem " + TAX,
    "Invoice": (
        "id invoiceNumber accountId account currency invoiceDate dueDate status amount taxAmount amountWithoutTax "
        "balance availableToCredit reversed items taxationItems creditMemos creditMemoParts customFields " + AUDIT
    ),
    "InvoiceItem": (
        "invoiceId invoice chargeName productName chargeAmount taxAmount taxCode balance availableToCreditAmount "
        "productRatePlanChargeId productRatePlanCharge " + LINE
    ),
    "InvoiceTaxationItem": (
        "invoiceItemId invoiceItem creditAmount paymentAmount balance availableToCreditAmount engine " + TAX
    ),
    "ProductRatePlanCharge": (
        "id name sku chargeModel chargeType prices unitOfMeasure taxable taxMode taxCode effectiveStartDate "
        "effectiveEndDate financeInformation customFields " + AUDIT
    ),
    "Account": (
        "id number name currency status billToContact additionalEmailAddresses paymentTermDays gatewayId sequenceSet "
        "customFields creditMemos invoices debitMemos paymentMethods unappliedCreditMemoAmounts " + AUDIT
    ),
    "Contact": "id firstName lastName workEmail personalEmail address1 city state postalCode country",
    "PaymentMethod": "id accountId account type electronic",
    "ReasonCode": "id name type active isDefault",
    "AccountingPeriod": "id name startDate endDate status",
    "CreditMemoJob": (
        "id status operationType linesDone linesTotal createdDate startedDate finishedDate referenceId referenceType "
        "error creditMemo"
    ),
    "CreditMemoFile": "id pdfFileUrl versionNumber creditMemoId creditMemo",
    "CreditMemoPdfStatus": (
        "creditMemoId creditMemoNumber pdfGenerationStatus createdOn updatedOn pdfFileUrl errorCategory errorMessage"
    ),
    "CreditMemoEvent": "id creditMemo byId action at effectiveDate amountsBefore amountsAfter targets requestId",
    "FinanceInformation": LINE_FINANCE,
    "TaxFinanceInformation": (
        "onAccountAccountingCode onAccountAccountingCodeType salesTaxPayableAccountingCode "
        "salesTaxPayableAccountingCodeType"
    ),
    "RefundFinanceInformation": (
        "bankAccountAccountingCode bankAccountAccountingCodeType unappliedPaymentAccountingCode "
        "unappliedPaymentAccountingCodeType onAccountAccountingCode onAccountAccountingCodeType transferredToAccounting"
    ),
    "NetSuite": "integrationId integrationStatus origin syncDate transaction",
    "Query": (
        "creditMemos creditMemo creditMemoItem creditMemoPart creditMemoJob creditMemoPdfStatuses creditMemoSummary "
        "account accounts invoice invoices debitMemo debitMemos productRatePlanCharges refunds reasonCodes "
        "accountingPeriods viewer node nodes"
    ),
}
"""What domain.md section 2 and api.md ask of each type."""


@pytest.mark.parametrize("name", FIELDS)
def test_a_type_has_every_field_of_the_reference(name: str) -> None:
    fields = fields_of(name)

    assert set(FIELDS[name].split()) - set(fields) == set()
    for key in NULLABLE.get(name, "").split():
        assert not isinstance(fields[key].type, GraphQLNonNull), key


def test_money_ids_and_dates_have_scalars_of_their_own() -> None:
    for type_ in TYPES:
        if isinstance(type_, GraphQLObjectType):
            for name, field in type_.fields.items():
                kind = get_named_type(field.type).name
                if name.endswith(("amount", "Amount", "balance", "availableToCredit")):
                    assert kind == ("Boolean" if name == "reflectDiscountInNetAmount" else "Decimal"), name
                if name == "id":
                    assert kind == "ID", f"{type_.name}.{name}"
                if name.endswith("Date"):
                    assert kind in ("Date", "DateTime") or type_.name.endswith("NetSuite"), f"{type_.name}.{name}"
    assert "Float" not in CORE.type_map

"""The words printed on a credit memo, in each language that there is."""

from collections.abc import Mapping
from typing import Final

_NAMES: Final = (
    "title|draft|canceled|bill_to|number|date|account|invoice|reason|currency|tax_id|comment|item|quantity|price|"
    "amount|discount|period|exempt|tax|rate|net_of|tax_amount|net|total_tax|total|applied|refunded|unapplied|page|of"
)

_SPELLED: Final[Mapping[str, str]] = {
    "en": "Credit memo|Draft|Canceled|Bill to|Number|Date|Account|Invoice|Reason|Currency|Tax ID|Remark|Description|"
    "Quantity|Unit price|Amount|Discount|Service period|Exempt|Tax|Rate|Taxable amount|Tax amount|Net amount|Tax|"
    "Total credit|Applied|Refunded|Unapplied|Page|of",
    "de": "Gutschrift|Entwurf|Storniert|Empfänger|Nummer|Datum|Kundennummer|Rechnung|Grund|Währung|USt-IdNr.|"
    "Bemerkung|Bezeichnung|Menge|Einzelpreis|Betrag|Rabatt|Leistungszeitraum|Befreit|Steuer|Satz|Nettobetrag|"
    "Steuerbetrag|Nettobetrag|Steuer|Gutschriftsbetrag|Verrechnet|Ausgezahlt|Offen|Seite|von",
    "fr": "Avoir|Brouillon|Annulé|Destinataire|Numéro|Date|Compte|Facture|Motif|Devise|N° de TVA|Remarque|"
    "Désignation|Quantité|Prix unitaire|Montant|Remise|Période de service|Exonéré|Taxe|Taux|Base imposable|"
    "Montant de la taxe|Total hors taxe|Taxe|Total de l'avoir|Imputé|Remboursé|Non imputé|Page|sur",
    "es": "Nota de crédito|Borrador|Anulada|Destinatario|Número|Fecha|Cuenta|Factura|Motivo|Moneda|NIF|Observación|"
    "Descripción|Cantidad|Precio unitario|Importe|Descuento|Periodo de servicio|Exento|Impuesto|Tipo|Base imponible|"
    "Cuota|Importe neto|Impuesto|Total del abono|Aplicado|Reembolsado|Sin aplicar|Página|de",
    "it": "Nota di credito|Bozza|Annullata|Destinatario|Numero|Data|Cliente|Fattura|Causale|Valuta|Partita IVA|Nota|"
    "Descrizione|Quantità|Prezzo unitario|Importo|Sconto|Periodo di servizio|Esente|Imposta|Aliquota|Imponibile|"
    "Imposta|Totale netto|Imposta|Totale a credito|Applicato|Rimborsato|Non applicato|Pagina|di",
    "ja": "クレジットメモ|下書き|取消済み|宛先|番号|日付|顧客番号|請求書|理由|通貨|登録番号|備考|品目|数量|単価|金額|"
    "値引き|サービス期間|免税額|税|税率|課税対象額|税額|税抜金額|消費税等|クレジット合計|充当済み|返金済み|未充当|ページ|/",
    "ar": "إشعار دائن|مسودة|ملغى|إلى|الرقم|التاريخ|الحساب|الفاتورة|السبب|العملة|الرقم الضريبي|ملاحظة|الوصف|الكمية|"
    "سعر الوحدة|المبلغ|خصم|فترة الخدمة|معفى|الضريبة|النسبة|المبلغ الخاضع للضريبة|مبلغ الضريبة|الصافي|الضريبة|"
    "إجمالي الإشعار|المطبق|المسترد|غير المطبق|صفحة|من",
}

RIGHT_TO_LEFT: Final = frozenset({"ar", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"})
"""Languages that are written from right to left."""

WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    language: dict(zip(_NAMES.split("|"), text.split("|"), strict=True)) for language, text in _SPELLED.items()
}
"""Per language each word by its name; the same names in all."""


def words(language: str) -> Mapping[str, str]:
    """The words of a language, English where it is not among ours."""
    return WORDS.get(language, WORDS["en"])

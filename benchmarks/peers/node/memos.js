// Schema, resolvers and loaders of Mercurius and Apollo Server: pg with prepared statements, DataLoader against N+1.
import { randomUUID } from "node:crypto";
import DataLoader from "dataloader";
import pg from "pg";

// Values as text, since the answers want text; whole numbers as numbers.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);
pg.types.setTypeParser(pg.types.builtins.DATE, (text) => text);
pg.types.setTypeParser(pg.types.builtins.TIMESTAMPTZ, (text) => text);

export const pool = new pg.Pool({
  connectionString: process.env.DATABASE_URL,
  max: 16,
  options: "-c jit=off -c timezone=UTC",
});

const query = async (name, text, values) => (await pool.query({ name, text, values })).rows;

export const typeDefs = `
  scalar Decimal
  enum MemoStatus { DRAFT POSTED CANCELED }
  enum CreditMemoSortField { CREDIT_MEMO_DATE }
  enum SortDirection { ASC DESC }
  input MemoStatusFilter { eq: MemoStatus! }
  input CreditMemoFilter { status: MemoStatusFilter! }
  input CreditMemoSort { field: CreditMemoSortField!, direction: SortDirection! }
  input InvoiceApplicationInput { invoiceKey: ID!, amount: Decimal! }
  input ApplyCreditMemoInput { key: ID!, invoices: [InvoiceApplicationInput!]! }
  type Account { id: ID!, number: String!, name: String!, currency: String! }
  type Tax { id: ID!, name: String!, taxAmount: String!, taxRate: String, jurisdiction: String!, taxDate: String }
  type Taxes { nodes: [Tax!]! }
  type Item {
    id: ID!, skuName: String!, description: String, amount: String!, quantity: String, unitPrice: String
    serviceStartDate: String, serviceEndDate: String, unappliedAmount: String!, taxationItems: Taxes!
  }
  type Items { nodes: [Item!]! }
  type Part { id: ID!, amount: String!, invoiceId: ID, createdDate: String! }
  type Parts { nodes: [Part!]! }
  type CreditMemo {
    id: ID!, number: String!, status: MemoStatus!, creditMemoDate: String!, currency: String!, amount: String!
    appliedAmount: String!, unappliedAmount: String!, reasonCode: String, comment: String, updatedDate: String!
    accountId: ID!, account: Account!, items: Items!, parts: Parts!
  }
  type PageInfo { hasNextPage: Boolean!, endCursor: String }
  type CreditMemos { nodes: [CreditMemo!]!, pageInfo: PageInfo! }
  type UserError { code: String! }
  type ApplyCreditMemoPayload { creditMemo: CreditMemo, userErrors: [UserError!]! }
  type Query {
    creditMemo(key: ID!): CreditMemo
    creditMemos(first: Int!, after: String, filter: CreditMemoFilter!, sort: [CreditMemoSort!]!): CreditMemos!
  }
  type Mutation { applyCreditMemo(input: ApplyCreditMemoInput!): ApplyCreditMemoPayload! }
`;

// --- values as they are shown

const PLACES = { EUR: 2, USD: 2, GBP: 2, CAD: 2, CHF: 2, JPY: 0, KWD: 3 };
const money = (stored, currency) => (stored / 10000).toFixed(PLACES[currency]);
const scaled = (stored) => (stored === null ? null : String(stored / 1e9));
// "2024-02-06 19:09:21.5+00" as "2024-02-06T19:09:21.500000Z"
const moment = (text) => {
  const [whole, fraction = ""] = text.slice(0, -3).split(".");
  return `${whole.replace(" ", "T")}.${fraction.padEnd(6, "0")}Z`;
};

// --- loaders: one of each kind for each request

const one = (table, columns) =>
  new DataLoader(async (keys) => {
    const rows = await query(table, `SELECT ${columns} FROM ${table} WHERE id = ANY($1)`, [keys]);
    const found = new Map(rows.map((row) => [row.id, row]));
    return keys.map((key) => found.get(key) ?? null);
  });

const many = (table, by, columns, order) =>
  new DataLoader(async (keys) => {
    const rows = await query(table, `SELECT ${by}, ${columns} FROM ${table} WHERE ${by} = ANY($1) ORDER BY ${order}`, [keys]);
    const found = new Map(keys.map((key) => [key, []]));
    for (const row of rows) found.get(row[by]).push(row);
    return keys.map((key) => found.get(key));
  });

export const loaders = () => ({
  accounts: one("accounts", "id, number, name, currency"),
  items: many(
    "credit_memo_items", "credit_memo_id",
    "id, currency, sku_name, description, amount, quantity, unit_price, service_start_date, service_end_date, unapplied_amount",
    "updated_date DESC, id DESC",
  ),
  taxes: many(
    "credit_memo_taxation_items", "memo_item_id", "id, currency, name, tax_amount, tax_rate, jurisdiction, tax_date",
    "position, id",
  ),
  parts: many("credit_memo_parts", "credit_memo_id", "id, currency, amount, invoice_id, created_date", "created_date, id"),
});

// --- resolvers

const MEMO =
  "id, number, status, credit_memo_date, currency, amount, applied_amount, unapplied_amount, reason_code, comment, account_id, updated_date";
const PAGE = (place) =>
  `SELECT ${MEMO} FROM credit_memos WHERE status = $1 ${place} ORDER BY credit_memo_date DESC, id DESC LIMIT $2`;

async function apply({ key, invoices: [{ invoiceKey, amount }] }) {
  const stored = Math.round(Number(amount) * 10000);
  const client = await pool.connect();
  const run = (name, text, values) => client.query({ name, text, values });
  try {
    await client.query("BEGIN");
    const { rows: [{ currency }] } = await run("lock_memo", "SELECT currency FROM credit_memos WHERE id = $1 FOR UPDATE", [key]);
    await run("lock_invoice", "SELECT 1 FROM invoices WHERE id = $1 FOR UPDATE", [invoiceKey]);
    await run("credit", "UPDATE invoices SET credit_amount = credit_amount + $2 WHERE id = $1", [invoiceKey, stored]);
    await run(
      "part",
      `INSERT INTO credit_memo_parts (id, credit_memo_id, currency, amount, invoice_id, created_by_id, created_date, updated_by_id, updated_date)
       VALUES ($1, $2, $3, $4, $5, 'usr_bench', now(), 'usr_bench', now())
       ON CONFLICT (credit_memo_id, invoice_id) DO UPDATE SET amount = credit_memo_parts.amount + excluded.amount`,
      [`cmp_${randomUUID().replaceAll("-", "")}`, key, currency, stored, invoiceKey],
    );
    const { rows: [memo] } = await run(
      "apply",
      `UPDATE credit_memos SET applied_amount = applied_amount + $2, version = version + 1, updated_date = now()
       WHERE id = $1 RETURNING ${MEMO}`,
      [key, stored],
    );
    await client.query("COMMIT");
    return memo;
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  } finally {
    client.release();
  }
}

const nodes = (load) => async (row, _args, context) => ({ nodes: await load(context).load(row.id) });

export const resolvers = {
  Query: {
    creditMemo: async (_root, { key }) => (await query("memo", `SELECT ${MEMO} FROM credit_memos WHERE id = $1`, [key]))[0] ?? null,
    creditMemos: async (_root, { first, after, filter }) => {
      const rows = after
        ? await query("page_after", PAGE("AND (credit_memo_date, id) < ($3::date, $4::text)"), [filter.status.eq, first + 1, ...after.split("|")])
        : await query("page", PAGE(""), [filter.status.eq, first + 1]);
      const shown = rows.slice(0, first);
      const last = shown.at(-1);
      return {
        nodes: shown,
        pageInfo: { hasNextPage: rows.length > first, endCursor: last ? `${last.credit_memo_date}|${last.id}` : null },
      };
    },
  },
  Mutation: {
    applyCreditMemo: async (_root, { input }) => ({ creditMemo: await apply(input), userErrors: [] }),
  },
  CreditMemo: {
    creditMemoDate: (row) => row.credit_memo_date,
    amount: (row) => money(row.amount, row.currency),
    appliedAmount: (row) => money(row.applied_amount, row.currency),
    unappliedAmount: (row) => money(row.unapplied_amount, row.currency),
    reasonCode: (row) => row.reason_code,
    updatedDate: (row) => moment(row.updated_date),
    accountId: (row) => row.account_id,
    account: (row, _args, context) => context.loaders.accounts.load(row.account_id),
    items: nodes((context) => context.loaders.items),
    parts: nodes((context) => context.loaders.parts),
  },
  Item: {
    skuName: (row) => row.sku_name,
    amount: (row) => money(row.amount, row.currency),
    quantity: (row) => scaled(row.quantity),
    unitPrice: (row) => scaled(row.unit_price),
    serviceStartDate: (row) => row.service_start_date,
    serviceEndDate: (row) => row.service_end_date,
    unappliedAmount: (row) => money(row.unapplied_amount, row.currency),
    taxationItems: nodes((context) => context.loaders.taxes),
  },
  Tax: {
    taxAmount: (row) => money(row.tax_amount, row.currency),
    taxRate: (row) => scaled(row.tax_rate),
    taxDate: (row) => row.tax_date,
  },
  Part: {
    amount: (row) => money(row.amount, row.currency),
    invoiceId: (row) => row.invoice_id,
    createdDate: (row) => moment(row.created_date),
  },
};

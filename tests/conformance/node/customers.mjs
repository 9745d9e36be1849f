// A subgraph that refers to what ours has.
export const CUSTOMERS = `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@shareable"])
  type Query { customers: [Customer!]! }
  type Customer @key(fields: "id") { id: ID! account: Account! lastMemo: CreditMemo }
  type Account @key(fields: "number", resolvable: false) { number: String! }
  type CreditMemo @key(fields: "id", resolvable: false) { id: ID! }
  type PageInfo @shareable { hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String }
`;

// Composes our subgraph, whose text is in a file, with one that refers to what it has.
import { readFileSync } from "node:fs";
import { composeServices } from "@apollo/composition";
import { parse } from "graphql";

const other = `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@shareable"])
  type Query { customers: [Customer!]! }
  type Customer @key(fields: "id") { id: ID! account: Account! lastMemo: CreditMemo }
  type Account @key(fields: "number", resolvable: false) { number: String! }
  type CreditMemo @key(fields: "id", resolvable: false) { id: ID! }
  type PageInfo @shareable { hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String }
`;
const composed = composeServices([
  { name: "memos", url: "http://memos", typeDefs: parse(readFileSync(process.argv[2], "utf8")) },
  { name: "customers", url: "http://customers", typeDefs: parse(other) },
]);
console.log((composed.errors ?? []).map((error) => error.message).join("\n") || "composed");

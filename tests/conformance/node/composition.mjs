// Composes our subgraph, whose text is in a file, with one that refers to what it has.
import { readFileSync } from "node:fs";
import { composeServices } from "@apollo/composition";
import { parse } from "graphql";
import { CUSTOMERS } from "./customers.mjs";

const composed = composeServices([
  { name: "memos", url: "http://memos", typeDefs: parse(readFileSync(process.argv[2], "utf8")) },
  { name: "customers", url: "http://customers", typeDefs: parse(CUSTOMERS) },
]);
console.log((composed.errors ?? []).map((error) => error.message).join("\n") || "composed");

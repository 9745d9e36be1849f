/** Introspection as graphql-js and its tools do it: the second argument is the file of the schema. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import {
  buildClientSchema,
  buildSchema,
  findBreakingChanges,
  findDangerousChanges,
  getIntrospectionQuery,
  lexicographicSortSchema,
  printSchema,
  validateSchema,
} from "graphql";
import { check, endpoint } from "./checks.mjs";

const written = buildSchema(readFileSync(process.argv[3], "utf8"));
const OPTIONS = [
  "descriptions",
  "specifiedByUrl",
  "directiveIsRepeatable",
  "schemaDescription",
  "inputValueDeprecation",
  "oneOf",
];

async function introspect(options) {
  const answer = await fetch(endpoint, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: getIntrospectionQuery(options) }),
  });
  const { data, errors } = await answer.json();
  assert.equal(errors, undefined);
  return buildClientSchema(data);
}

await check("all that can be asked for gives the schema as it is written", async () => {
  const served = await introspect(Object.fromEntries(OPTIONS.map((option) => [option, true])));
  assert.deepEqual(validateSchema(served), []);
  assert.equal(printSchema(lexicographicSortSchema(served)), printSchema(lexicographicSortSchema(written)));
  assert.deepEqual(findBreakingChanges(written, served), []);
  assert.deepEqual(findDangerousChanges(written, served), []);
});

await check("each way to ask is answered, down to the oldest", async () => {
  for (const option of OPTIONS) assert.ok(await introspect({ [option]: true }));
  const none = await introspect(Object.fromEntries(OPTIONS.map((option) => [option, false])));
  assert.deepEqual(Object.keys(none.getTypeMap()).sort(), Object.keys(written.getTypeMap()).sort());
});

await check("get-graphql-schema writes the same types down", async () => {
  const text = execFileSync("node", ["node_modules/get-graphql-schema/dist/index.js", endpoint], { encoding: "utf8" });
  const names = [...text.matchAll(/^(?:type|interface|enum|input|scalar) (\w+)/gm)].map(([, name]) => name);
  const builtIn = new Set(["String", "Int", "Float", "Boolean", "ID"]);
  const expected = Object.keys(written.getTypeMap()).filter((name) => !name.startsWith("__") && !builtIn.has(name));
  assert.deepEqual(names.sort(), expected.sort());
});

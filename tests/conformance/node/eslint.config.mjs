/** graphql-eslint's rules for schemas: the recommended ones and Relay's, and why a few of them are not ours. */
import plugin from "@graphql-eslint/eslint-plugin";

export default [
  {
    files: ["schema.graphql"],
    languageOptions: { parser: plugin.parser, parserOptions: { graphQLConfig: { schema: "schema.graphql" } } },
    plugins: { "@graphql-eslint": plugin },
    rules: {
      ...plugin.configs["flat/schema-recommended"].rules,
      ...plugin.configs["flat/schema-relay"].rules,
      "@graphql-eslint/no-scalar-result-type-on-mutation": "error",
      "@graphql-eslint/require-nullable-fields-with-oneof": "error",
      // Connections offer `nodes` beside `edges`, and payloads lists of results, as GitHub's do.
      "@graphql-eslint/relay-edge-types": ["error", { listTypeCanWrapOnlyEdgeType: false, shouldImplementNode: false }],
      // Payloads, edges and values such as totals have no identity.
      "@graphql-eslint/strict-id-in-types": "off",
      // `creditMemoDate`, `invoiceNumber`, ... are what the reference calls them.
      "@graphql-eslint/no-typename-prefix": "off",
      // `@oneOf` is GraphQL's own; everything else has a description, as tests/test_schema.py sees to.
      "@graphql-eslint/require-description": ["error", { types: true, FieldDefinition: true, InputValueDefinition: true, EnumValueDefinition: true }],
    },
  },
];

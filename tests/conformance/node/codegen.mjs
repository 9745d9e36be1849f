/** Types for every example of the explorer; from version 6 on, `typescript-operations` makes the enums and inputs too. */
export default {
  schema: "schema.graphql",
  documents: "examples/*.graphql",
  generates: {
    "generated/operations.ts": {
      plugins: ["typescript-operations"],
      config: {
        strictScalars: true,
        useTypeImports: true,
        scalars: { ID: "string", Date: "string", DateTime: "string", Decimal: "string", JSON: "unknown", Upload: "File" },
      },
    },
  },
};

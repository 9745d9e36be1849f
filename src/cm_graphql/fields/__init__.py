"""What a GraphQL field is in the store, said once, and what follows: scalars, filters, pages, loaders, resolvers."""

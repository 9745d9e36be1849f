// Apollo Server with its own HTTP server, as its documentation begins.
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { loaders, resolvers, typeDefs } from "./memos.js";

await startStandaloneServer(new ApolloServer({ typeDefs, resolvers }), {
  listen: { host: "127.0.0.1", port: Number(process.argv[2]) },
  context: async () => ({ loaders: loaders() }),
});

// Fastify with Mercurius, its JIT on from the first request.
import Fastify from "fastify";
import mercurius from "mercurius";
import { loaders, resolvers, typeDefs } from "./memos.js";

const app = Fastify();
app.register(mercurius, { schema: typeDefs, resolvers, jit: 1, context: () => ({ loaders: loaders() }) });
await app.listen({ host: "127.0.0.1", port: Number(process.argv[2]) });

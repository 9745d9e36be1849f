/** The audits of graphql-http against the endpoint, each told as a check. */
import { serverAudits } from "graphql-http";
import { check, endpoint } from "./checks.mjs";

for (const audit of serverAudits({ url: endpoint, fetchFn: fetch })) {
  await check(audit.id, async () => {
    const { status, reason } = await audit.fn();
    if (status !== "ok") throw new Error(`${audit.name}: ${reason}`);
  });
}

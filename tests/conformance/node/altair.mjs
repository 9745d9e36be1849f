/** Write Altair's page for the endpoint into its own folder: the arguments are the endpoint and a query. */
import { writeFileSync } from "node:fs";
import { getDistDirectory, renderAltair } from "altair-static";

const [endpointURL, initialQuery] = process.argv.slice(2);
const subscriptionsEndpoint = endpointURL.replace(/^http/, "ws");
const initialSubscriptionRequestHandlerId = "graphql-ws";
const options = { initialSubscriptionRequestHandlerId, baseURL: "./", endpointURL, subscriptionsEndpoint, initialQuery, serveInitialOptionsInSeperateRequest: false };
writeFileSync(`${getDistDirectory()}/page.html`, renderAltair(options));
console.log(getDistDirectory());

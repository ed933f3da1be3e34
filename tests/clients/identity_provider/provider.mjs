// The certified OpenID provider `oidc-provider`, with one client and people who sign in without being asked.
// Arguments: redirect URI, client id, client secret. Prints its issuer when it listens; ends with its standard input.
import { createServer } from "node:http";
import { once } from "node:events";
import Provider from "oidc-provider";

const [redirectUri, clientId, clientSecret] = process.argv.slice(2);
const server = createServer();
server.listen(0, "127.0.0.1");
await once(server, "listening");
const issuer = `http://127.0.0.1:${server.address().port}`;

const claims = { email: "bob@example.org", email_verified: true, name: "Bob", groups: ["staff"] };
const provider = new Provider(issuer, {
  clients: [{
    client_id: clientId, client_secret: clientSecret, redirect_uris: [redirectUri],
    grant_types: ["authorization_code", "client_credentials"],
  }],
  claims: { email: ["email", "email_verified"], profile: ["name", "groups"] },
  pkce: { required: () => true },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    // Access tokens for an API are JWT; its name is their audience.
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({ scope: "chat", audience: resource, accessTokenFormat: "jwt" }),
    },
  },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...claims }) }),
});

// What a person does at the provider: signs in, and agrees.
provider.use(async (context, next) => {
  if (!context.path.startsWith("/interaction/")) return next();
  const { prompt, params, grantId } = await provider.interactionDetails(context.req, context.res);
  if (prompt.name === "login") {
    return provider.interactionFinished(context.req, context.res, { login: { accountId: "bob" } });
  }
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: "bob", clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  return provider.interactionFinished(context.req, context.res, { consent: { grantId: await grant.save() } });
});
server.on("request", provider.callback());

process.stdin.on("end", () => process.exit(0)).resume();
process.stdout.write(`${issuer}\n`);

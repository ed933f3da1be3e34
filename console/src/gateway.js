// Where clients reach the gateway, as far as this page can know.

const EVERYWHERE = new Set(["0.0.0.0", "::", "[::]", ""]);

/**
 * The base URL for clients. Where the gateway listens everywhere, the host is the one that this page came from.
 * @param {import("./generated/types.d.ts").ClientsAddress} [address]
 */
export function baseUrl({ scheme = "http", host = "", port = 0 } = {}) {
  const name = EVERYWHERE.has(host) ? location.hostname : host.includes(":") ? `[${host}]` : host;
  const usual = port === (scheme === "https" ? 443 : 80);
  return `${scheme}://${name}${usual ? "" : `:${port}`}/v1`;
}

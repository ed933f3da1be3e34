// The base URL of the gateway for clients, as far as this page can know it.

const EVERYWHERE = new Set(["0.0.0.0", "::", "[::]", ""]);

/**
 * The base URL for clients. If the gateway listens on all addresses, it has the host of this page.
 * @param {import("./generated/types.d.ts").ClientsAddress} [address]
 */
export function baseUrl({ scheme = "http", host = "", port = 0 } = {}) {
  const name = EVERYWHERE.has(host) ? location.hostname : host.includes(":") ? `[${host}]` : host;
  const usual = port === (scheme === "https" ? 443 : 80);
  return `${scheme}://${name}${usual ? "" : `:${port}`}/v1`;
}

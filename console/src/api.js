// Calls of the Admin API as REST, by the generated table of methods.
import { METHODS } from "./generated/methods.js";
import { credentials, forget, signedIn } from "./session.js";

/** An error of the gateway; `code` as in docs/rest.md, or `unreachable`. */
export class ApiError extends Error {
  constructor(status, code, message, param = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
  }
}

/**
 * @template {keyof import("./generated/types.d.ts").Methods} M
 * @param {M} method
 * @param {import("./generated/types.d.ts").Methods[M]["request"]} [request]
 * @param {{signal?: AbortSignal, headers?: Record<string, string>}} [options]
 * @returns {Promise<import("./generated/types.d.ts").Methods[M]["response"]>}
 */
export async function call(method, request, options = {}) {
  const [verb, template] = METHODS[method];
  const rest = structuredClone(request ?? {});
  const path = template.replace(/\{([a-z_.]+)\}/g, (_, field) => encodeURIComponent(taken(rest, field.split("."))));
  const hasBody = verb !== "GET" && verb !== "DELETE";
  const headers = { ...credentials(), ...options.headers };
  if (hasBody) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(hasBody ? path : path + query(rest), {
      method: verb,
      headers,
      body: hasBody ? JSON.stringify(rest) : undefined,
      signal: options.signal,
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", String(error.message));
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 401 && signedIn.value) forget("signin.ended");
  const { message = response.statusText, code = "unknown", param = null } = answer.error ?? {};
  throw new ApiError(response.status, code, message, param);
}

/** Removes the value of a path variable from the request, in place, and returns it. */
function taken(object, /** @type {string[]} */ path) {
  const [name, ...inner] = path;
  if (inner.length) return taken(object[name], inner);
  const value = object[name];
  delete object[name];
  return value;
}

/** Encodes a query: nested fields get a dot, repeated fields are repeated. */
function query(request, before = "") {
  const pairs = [];
  const add = (object, prefix) => {
    for (const [name, value] of Object.entries(object)) {
      if (value === undefined || value === null || value === "") continue;
      if (Array.isArray(value)) value.forEach((each) => pairs.push([prefix + name, each]));
      else if (typeof value === "object") add(value, `${prefix}${name}.`);
      else pairs.push([prefix + name, value]);
    }
  };
  add(request, before);
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

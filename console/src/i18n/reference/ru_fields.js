// Русский: описания полей в справочнике API, по сообщению и полю.
import accounts from "./ru_fields/accounts.js";
import admin from "./ru_fields/admin.js";
import views from "./ru_fields/console.js";
import jwt from "./ru_fields/jwt.js";
import ledger from "./ru_fields/ledger.js";
import limits from "./ru_fields/limits.js";
import policy from "./ru_fields/policy.js";
import quota from "./ru_fields/quota.js";
import reasons from "./ru_fields/reasons.js";
import registry from "./ru_fields/registry.js";
import requests from "./ru_fields/requests.js";
import routing from "./ru_fields/routing.js";

/** @type {Record<string, string>} */
export const FIELDS = { ...accounts, ...admin, ...views, ...jwt, ...ledger, ...limits, ...policy, ...quota, ...reasons, ...registry, ...requests, ...routing };

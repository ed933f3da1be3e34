// The members of a route's enumerations as texts; a member that has none yet appears in plain words.
import { plain } from "../forms/other.js";
import { word } from "../i18n.js";

export const strategyText = (each = "STRATEGY_WEIGHTED") => word(`strategy.${each}`, plain("Strategy", each));
/** What a strategy does; empty if there is no text. */
export const aboutStrategy = (each = "STRATEGY_WEIGHTED") => word(`strategy.about.${each}`, "");
export const privacyText = (each = "PRIVACY_ANY") => word(`privacy.${each}`, plain("Privacy", each));
export const affinityText = (each = "AFFINITY_POOL") => word(`affinity.${each}`, plain("Affinity", each));
export const scopeText = (each) => word(`scope.${each}`, plain("CacheScope", each));
export const promptKeyText = (each) => word(`prompt_cache.${each}`, plain("PromptCacheKey", each));

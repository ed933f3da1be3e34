// Language and theme, stored in the browser.
import { html } from "./html.js";
import { LANGUAGES, chooseLanguage, language, t } from "./i18n.js";
import { THEMES, setTheme, theme } from "./theme.js";
import { Segmented } from "./ui/controls.js";

export const Preferences = () => html`
  <div class="preferences">
    <${Segmented} label=${t("preferences.language")} value=${language.value} onValue=${chooseLanguage}
      options=${Object.entries(LANGUAGES)} />
    <${Segmented} label=${t("preferences.theme")} value=${theme.value} onValue=${setTheme}
      options=${THEMES.map((each) => [each, t(`theme.${each}`)])} />
  </div>
`;

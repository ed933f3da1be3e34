// Charts over time, drawn by uPlot, which is loaded on demand. A table next to them has the same data for screen readers.
import { html, useEffect, useRef } from "../html.js";
import { language, t } from "../i18n.js";
import { colours, theme } from "../theme.js";

const HEIGHT = 220;
const DAY = 86_400;
/** From this span in seconds, the axis shows days instead of hours. */
const LONG = 3 * DAY;

/** The library and its stylesheet, once. @returns {Promise<any>} */
let library;
function load() {
  library ??= new Promise((resolve, reject) => {
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = new URL("../../vendor/uplot.css", import.meta.url).href;
    document.head.append(sheet);
    import("../../vendor/uplot.js").then((found) => resolve(found.default), reject);
  });
  return library;
}

/**
 * @param {{label: string, times: number[], series: {name: string, values: (number | null)[]}[], format: (value: number) => string}} props
 *   `times` are Unix seconds; the second series is the previous period, drawn faintly.
 */
export function Chart({ label, times, series, format }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const drawn = JSON.stringify([times, series, theme.value, language.value]);
  useEffect(() => {
    let plot;
    let gone = false;
    const resize = new ResizeObserver(() => plot?.setSize({ width: place.current?.clientWidth ?? 300, height: HEIGHT }));
    load().then((UPlot) => {
      if (gone || !place.current) return;
      const [accent, muted, line] = colours("accent", "muted", "line");
      const isLong = (times.at(-1) ?? 0) - times[0] > LONG;
      // Days are in UTC, as in the ledger; hours are in the reader's time zone.
      const shape = isLong ? { day: "numeric", month: "short", timeZone: "UTC" } : { hour: "2-digit", minute: "2-digit" };
      const clock = new Intl.DateTimeFormat(language.value, /** @type {any} */ (shape));
      const said = (at) => clock.format(at * 1000);
      const axis = { stroke: muted, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "12px system-ui" };
      plot = new UPlot(
        {
          width: place.current.clientWidth,
          height: HEIGHT,
          cursor: { y: false },
          legend: { live: true },
          ...(isLong ? { tzDate: (at) => UPlot.tzDate(new Date(at * 1000), "Etc/UTC") } : {}),
          scales: { y: { range: (_, __, most) => [0, most || 1] } },
          axes: [{ ...axis, values: (_, ticks) => ticks.map((at) => (isLong && at % DAY ? "" : said(at))) }, { ...axis, size: 64, values: (_, ticks) => ticks.map(format) }],
          series: [
            { label: t("usage.when"), value: (_, at) => (at === null ? "" : said(at)) },
            ...series.map((each, index) => ({
              label: each.name,
              stroke: index ? muted : accent,
              width: index ? 1 : 2,
              dash: index ? [4, 4] : undefined,
              fill: index ? undefined : `${accent}1a`,
              value: (_, value) => (value === null ? "–" : format(value)),
            })),
          ],
        },
        [times, ...series.map((each) => each.values)],
        place.current,
      );
      resize.observe(place.current);
    });
    return () => {
      gone = true;
      resize.disconnect();
      plot?.destroy();
    };
  }, [drawn]);
  return html`<div class="chart" ref=${place} role="img" aria-label=${t("chart.label", { label })}></div>`;
}

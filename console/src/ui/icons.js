// Icons as paths on a grid of 20, drawn in the text's colour. They are decorative: a name is always next to them.
import { html } from "../html.js";

const PATHS = {
  start: "M3 10.5 10 4l7 6.5M5 9v7.5h10V9",
  playground: "M5 4l11 6-11 6z",
  models: "M10 3l7 3.5-7 3.5-7-3.5zM3 10l7 3.5 7-3.5M3 13.5 10 17l7-3.5",
  providers: "M6 15a3.5 3.5 0 0 1-.3-7 5 5 0 0 1 9.6 1.2A3 3 0 0 1 14.500 15z",
  nodes: "M3.500 4h13v5h-13zM3.500 11h13v5h-13zM6.500 6.500h.01M6.500 13.500h.01",
  usage: "M4 16V9M8 16V5M12 16v-5M16 16V7",
  requests: "M3 6h11M11 3l3 3-3 3M17 14H6M9 11l-3 3 3 3",
  health: "M2.500 10.500h3.500l2-5 3.500 9 2-4h4",
  keys: "M12.500 7.500a3.500 3.500 0 1 1-3-3.460A3.500 3.500 0 0 1 12.500 7.500zM11.500 10l5.500 5.500M14 12.500l-1.500 1.500",
  members: "M7.500 9a2.750 2.750 0 1 0 0-5.500 2.750 2.750 0 0 0 0 5.500zM2.500 16c.4-2.800 2.400-4.500 5-4.500s4.600 1.700 5 4.500M13 4a2.600 2.600 0 0 1 0 5M15 11.800c1.400.7 2.300 2.200 2.500 4.200",
  audit: "M5 3h7l3 3v11H5zM8 9h4M8 12h4",
  reference: "M4 4.500c2.500-.8 4.500-.5 6 1 1.500-1.500 3.500-1.800 6-1v11c-2.500-.8-4.500-.5-6 1-1.500-1.500-3.500-1.800-6-1zM10 5.500v11",
  copy: "M7 7V3.500h9.500V13H13M3.500 7H13v9.500H3.500z",
  check: "M4 10.500l4 4 8-9",
  close: "M5 5l10 10M15 5L5 15",
  menu: "M3 6h14M3 10h14M3 14h14",
  settings: "M3 6h7M14 6h3M3 14h3M10 14h7M12 4v4M8 12v4",
  help: "M10 2.500a7.500 7.500 0 1 0 0 15 7.500 7.500 0 0 0 0-15zM7.800 7.800a2.200 2.200 0 1 1 3.300 1.900c-.8.5-1.100.9-1.100 1.800M10 14.200h.01",
  plus: "M10 4v12M4 10h12",
  refresh: "M16 10a6 6 0 1 1-1.800-4.300M16.500 3v3.500H13",
  warning: "M10 3l7.500 13.500h-15zM10 8v4M10 14.200h.01",
  lock: "M5 9h10v7.500H5zM7 9V6.500a3 3 0 0 1 6 0V9",
  download: "M10 3v9M6 8.500l4 4 4-4M4 16.500h12",
  out: "M8 4H4v12h4M12 6.500l3.500 3.500-3.500 3.500M15.500 10H8",
  sun: "M10 6.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7zM10 2v1.500M10 16.500V18M2 10h1.500M16.500 10H18M4.300 4.300l1.100 1.100M14.600 14.600l1.100 1.100M15.700 4.300l-1.100 1.100M5.400 14.600l-1.100 1.100",
  stop: "M5 5h10v10H5z",
  arrow: "M7 4l6 6-6 6",
};

/** @param {{name: keyof typeof PATHS}} props */
export const Icon = ({ name }) => html`
  <svg class="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>
`;

export const Logo = () => html`
  <svg class="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
    <rect class="logo-tile" width="32" height="32" rx="8" />
    <g class="logo-lines">
      <path d="M5 16h22" />
      <path d="M10 16c5 0 5-8 10-8h7" />
      <path d="M10 16c5 0 5 8 10 8h7" />
    </g>
    <circle class="logo-hub" cx="8" cy="16" r="3.2" />
  </svg>
`;

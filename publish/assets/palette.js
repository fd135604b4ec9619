"use strict";
// One look for every proxy, the same in every picture, live or afterwards. `index` counts proxies from 0 in the order of the report.
//
// Eight colours near those of Okabe and Ito (https://jfly.uni-koeln.de/color/), moved until every line stands 3:1 against its
// background (WCAG 2.2, 1.4.11) and any two stay apart in normal, protan, deutan and tritan eyes; five dashes tell 40 proxies apart.
const PALETTE = {
  "light": { "background": "#ffffff", "colours": ["#2156b1", "#b55d02", "#0f8c6f", "#e364aa", "#a52d1a", "#4599e4", "#ac940b", "#393430"] },
  "dark": { "background": "#14171c", "colours": ["#3f7aec", "#f99e0e", "#0bd8a7", "#be6c96", "#e34a31", "#9fa5e5", "#fcdf3f", "#d9fefd"] },
  "dashes": ["solid", [6, 3], [2, 3], [9, 3, 2, 3], [14, 4]]
};

/** Colour and dash of a proxy; the dash fits ECharts' `lineStyle.type`. */
function proxyLook(index, dark) {
  const { colours } = dark ? PALETTE.dark : PALETTE.light;
  const dash = PALETTE.dashes[Math.floor(index / colours.length) % PALETTE.dashes.length];
  return { colour: colours[index % colours.length], dash };
}

/** ECharts' `visualMap` of a heat map of votes whose cells say their number's logarithm, for counts lie orders apart; a single vote is still seen. */
const heatScale = (most, ink, dark) => ({
  type: "continuous", min: -0.5, max: Math.log10(most), dimension: 2, calculable: false, hoverLink: false, orient: "horizontal", right: 12, top: 4,
  itemWidth: 10, itemHeight: 90, text: [`${most.toLocaleString("en")} ${most === 1 ? "vote" : "votes"}`, "1"], textStyle: { color: ink, fontSize: 12 },
  inRange: { color: dark ? ["#22345a", "#3f7aec", "#e3ecff"] : ["#cfdef5", "#4f86d9", "#0a2a66"] },
});

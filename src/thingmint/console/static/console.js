// Owns what pages do by themselves: live parts, charts, files into text fields, dark or light. All pages work without it,
// but for what is live.
"use strict";

function chosenTheme() {
  const root = document.documentElement;
  if (root.dataset.theme) return root.dataset.theme;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function offerThemes() {
  const button = document.getElementById("theme");
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    const theme = chosenTheme() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("thingmint-theme", theme);
    } catch {
      // It lasts for this page.
    }
    drawCharts();
  });
}

function drawCharts() {
  for (const place of document.querySelectorAll(".chart")) {
    const values = place.dataset.values.split(",").map(Number);
    const last = Number(place.dataset.lastHour);
    const hours = values.map((_, index) => (last - values.length + 1 + index) * 3600);
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim();
    const line = style.getPropertyValue("--line").trim();
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
    place.replaceChildren();
    new uPlot(
      {
        width: Math.max(200, place.clientWidth),
        height: 180,
        legend: { show: false },
        cursor: { show: false },
        tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "UTC"),
        scales: { y: { range: (_, least, most) => [0, Math.max(1, most)] } },
        axes: [axis, { ...axis, size: 60 }],
        series: [{}, { stroke: ink, width: 1, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) }],
      },
      [hours, values],
      place,
    );
  }
}

function follow(state) {
  const source = new EventSource(state.dataset.events);
  const say = (text) => {
    if (state.textContent !== text) state.textContent = text;
  };
  source.addEventListener("watching", () => say("Watching."));
  source.addEventListener("part", (event) => {
    if (state.dataset.into) {
      // The node has made the part, and has escaped what is in it.
      document.getElementById(state.dataset.into).innerHTML = event.data;
      drawCharts();
      say("Live.");
    } else {
      document.getElementById(state.dataset.append).insertAdjacentHTML("afterbegin", event.data);
    }
  });
  source.addEventListener("refused", (event) => {
    source.close();
    say(event.data);
  });
  source.addEventListener("ended", () => {
    source.close();
    say("It has ended. Load the page again to go on.");
  });
  source.addEventListener("error", () => say("The connection to the node is lost. It is tried again."));
}

function readFiles() {
  for (const input of document.querySelectorAll("input[type=file][data-into]")) {
    input.addEventListener("change", async () => {
      const file = input.files[0];
      // A signing request has a few kilobytes.
      if (file && file.size < 100000) document.getElementById(input.dataset.into).value = await file.text();
    });
  }
}

function offerSelections() {
  for (const all of document.querySelectorAll("[data-selects]")) {
    all.hidden = false;
    all.addEventListener("change", () => {
      for (const each of document.getElementsByName(all.dataset.selects)) each.checked = all.checked;
    });
  }
}

offerThemes();
offerSelections();
drawCharts();
// A chart keeps the width that it was drawn in, and its card would scroll.
addEventListener("resize", drawCharts);
readFiles();
for (const state of document.querySelectorAll("[data-events]")) follow(state);
